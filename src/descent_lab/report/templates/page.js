"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // Legend: hide and show an entrant in every plot.
  byId("legend").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    PLOTS.show(button.dataset.entrant, shown);
  });
  // A menu of what stands along x, in a section that has one.
  byId("axis")?.addEventListener("change", (event) =>
    PLOTS.along(event.target.value, event.target.selectedOptions[0].textContent));
})();
