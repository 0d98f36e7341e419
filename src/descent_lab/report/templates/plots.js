"use strict";
// Draws the plots of #plot-data with bokeh, each into the place that has its number.
const PLOTS = (() => {
  Bokeh.set_log_level("error");
  const described = JSON.parse(document.getElementById("plot-data").textContent);
  const plots = [];
  const NUMBERS = new Map([[null, NaN], ["inf", Infinity]]);
  for (const part of described.flatMap((spec) => spec.parts))
    for (const [name, values] of Object.entries(part.data)) part.data[name] = values.map((v) => NUMBERS.get(v) ?? v);

  // What is 0, or less than a logarithmic axis shows, is drawn on its lower edge, and what is infinite far above its upper
  // edge; the mouse is told the value itself.
  const drawn = (name) => `${name} drawn`;
  const ALONG_Y = ["low", "high"];
  const source = (part, spec) => {
    const data = { ...part.data };
    const n = Object.values(data)[0].length;
    const least = spec.log[1] && spec.limits ? spec.limits[0] : -Infinity;
    const most = spec.limits ? spec.limits[1] * 1e3 : NaN;
    const placed = (v) => Math.max(v === Infinity ? most : v, least);
    for (const name of [...ALONG_Y, spec.y]) if (data[name]) data[drawn(name)] = data[name].map(placed);
    data.entrant = Array(n).fill(part.name);
    data.setting ??= Array(n).fill(part.setting ?? "");
    return new Bokeh.ColumnDataSource({ data });
  };
  const field = (name) => ({ field: name });
  const level = (name) => field(drawn(name));

  const stroke = (part, more) => ({ line_color: part.colour, line_width: part.plain ? 1 : part.width,
    line_dash: part.dash.map((length) => 2 * length), ...more });
  const dots = (plot, part, spec, common, size) => plot.scatter(field(spec.x), level(spec.y), { ...common, size,
    marker: part.marker, angle: part.angle, line_color: part.colour, fill_color: part.hollow ? "white" : part.colour });

  // A hollow triangle at the edge of the y axis, beyond which a value or an interval goes on.
  const edges = (plot, part, spec, common) => {
    if (!spec.limits) return;
    const [bottom, top] = spec.limits;
    const inset = part.inset ?? 0;
    const between = (a, b) => spec.log[1] ? a * (b / a) ** inset : a + (b - a) * inset;
    const values = (i) => [spec.y, "low", "high"].map((name) => part.data[name]?.[i] ?? NaN);
    for (const [edge, marker, beyond] of [[between(top, bottom), "triangle", (v) => v > top],
      [between(bottom, top), "inverted_triangle", (v) => v < bottom && v !== 0]]) {
      const x = part.data[spec.x].filter((_, i) => !Number.isNaN(part.data[spec.y][i]) && values(i).some(beyond));
      if (x.length) plot.scatter(x, x.map(() => edge), { name: common.name, marker, size: 8, line_color: part.colour, fill_color: "white" });
    }
  };

  // Each gives back what the mouse may ask about.
  const KINDS = {
    line(plot, part, spec, common) {
      plot.line(field(spec.x), level(spec.y), { ...common, ...stroke(part) });
      return part.plain ? [] : [dots(plot, part, spec, common, 6)];
    },
    band(plot, part, spec, common) {
      plot.varea(field(spec.x), level("low"), level("high"), { ...common, fill_color: part.colour, fill_alpha: 0.13 });
      return [plot.line(field(spec.x), level(spec.y), { ...common, ...stroke(part) })];
    },
    bars(plot, part, spec, common) {
      plot.segment(field(spec.x), level("low"), field(spec.x), level("high"),
        { ...common, line_color: part.colour, line_alpha: 0.6 });
      const asked = KINDS.line(plot, part, spec, common);
      edges(plot, part, spec, common);
      return asked;
    },
    // Diverged runs: pale where they are fewer than half.
    crosses(plot, part, spec, common) {
      return [plot.scatter(field(spec.x), field("edge"),
        { ...common, marker: "x", size: 10, line_width: 2, line_color: part.colour, line_alpha: field("strength") })];
    },
    steps(plot, part, spec, common) {
      return [plot.step(field(spec.x), level(spec.y), "after", { ...common, ...stroke(part) })];
    },
    dots(plot, part, spec, common) {
      edges(plot, part, spec, common);
      return [dots(plot, part, spec, { ...common, alpha: 0.6 }, 5)];
    },
  };

  const empty = (spec) => {
    const scale = (log) => (log ? "log" : "linear");
    const limits = spec.limits && { y_range: new Bokeh.Range1d({ start: spec.limits[0], end: spec.limits[1] }) };
    const plot = Bokeh.Plotting.figure({
      title: spec.title, height: 300, sizing_mode: "stretch_width", tools: "pan,wheel_zoom,box_zoom,reset",
      x_axis_type: scale(spec.log[0]), y_axis_type: scale(spec.log[1]),
      x_axis_label: spec.x_label, y_axis_label: spec.y_label, ...limits,
    });
    plot.toolbar.active_scroll = null;
    plot.toolbar.logo = null;
    plot.toolbar.autohide = true;
    plot.title.text_font_size = "13px";
    plot.outline_line_color = null;
    return plot;
  };

  // Few ticks on a logarithmic axis: decades, or 1, 2 and 5 times them where it spans less than two.
  const ticks = (axis, values) => {
    const positive = values.filter((v) => v > 0);
    axis.ticker.num_minor_ticks = 0;
    if (!positive.length || Math.max(...positive) / Math.min(...positive) > 60) return;
    const first = Math.floor(Math.log10(Math.min(...positive)));
    const ticks = [0, 1, 2, 3].flatMap((d) => [1, 2, 5].map((m) => Number(`${m}e${first + d}`)));
    axis.ticker = new Bokeh.FixedTicker({ ticks });
    axis.formatter = new Bokeh.CustomJSTickFormatter({ code: "return String(Number(tick.toPrecision(3)))" });
  };
  const scaled = (plot, spec, x) => {
    const column = (name) => spec.parts.flatMap((part) => part.data[name] ?? []);
    if (spec.log[0]) ticks(plot.below[0], column(x));
    if (spec.log[1]) ticks(plot.left[0], spec.limits ?? column(spec.y));
    if (spec.every_x) plot.below[0].ticker = new Bokeh.FixedTicker({ ticks: [...new Set(column(x))] });
  };

  const draw = (spec, i) => {
    const plot = empty(spec);
    scaled(plot, spec, spec.x);
    const asked = spec.parts.flatMap((part) =>
      KINDS[part.kind](plot, part, spec, { source: source(part, spec), name: part.name }));
    plot.add_tools(new Bokeh.HoverTool({ tooltips: spec.tips, renderers: asked }));
    plots.push({ plot, spec });
    return Bokeh.Plotting.show(plot, document.getElementById(`plot-${i}`));
  };

  // One after another, so that the page answers meanwhile.
  const done = (async () => {
    for (const [i, spec] of described.entries()) {
      await draw(spec, i);
      await new Promise((next) => setTimeout(next));
    }
    document.body.dataset.drawn = String(plots.length);
  })();

  const hidden = new Set();
  const show = async (name, shown) => {
    if (shown) hidden.delete(name); else hidden.add(name);
    await done;
    for (const { plot } of plots)
      for (const part of plot.renderers) if (part.name === name) part.visible = !hidden.has(name);
  };
  const along = async (axis, label) => {
    await done;
    for (const { plot, spec } of plots.filter(({ spec }) => spec.axes)) {
      for (const part of plot.renderers) part.glyph.x = field(axis);
      plot.below[0].axis_label = label;
      scaled(plot, spec, axis);
      plot.reset.emit();
    }
  };
  return { show, along, done };
})();
