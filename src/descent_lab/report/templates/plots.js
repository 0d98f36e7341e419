"use strict";
// Draws the plots of #plot-data with bokeh, each into the place that has its number.
const PLOTS = (() => {
  Bokeh.set_log_level("error");
  const described = JSON.parse(document.getElementById("plot-data").textContent);
  const plots = [];

  // What is 0, or less than a logarithmic axis shows, is drawn on its lower edge; the mouse is told the value itself.
  const drawn = (name) => `${name} drawn`;
  const ALONG_Y = ["low", "high"];
  const source = (part, spec) => {
    const columns = Object.entries(part.data).map(([name, values]) => [name, values.map((v) => v === null ? NaN : v)]);
    const n = columns[0][1].length;
    const data = Object.fromEntries(columns);
    const least = spec.log[1] && spec.limits ? spec.limits[0] : -Infinity;
    for (const name of [...ALONG_Y, spec.y]) if (data[name]) data[drawn(name)] = data[name].map((v) => Math.max(v, least));
    data.entrant = Array(n).fill(part.name);
    data.lr ??= Array(n).fill(part.lr ?? "");
    return new Bokeh.ColumnDataSource({ data });
  };
  const field = (name) => ({ field: name });
  const level = (name) => field(drawn(name));

  // Each gives back what the mouse may ask about.
  const KINDS = {
    line(plot, part, spec, common) {
      const dots = part.plain ? [] : [plot.scatter(field(spec.x), level(spec.y),
        { ...common, marker: part.marker, size: 6, color: part.colour })];
      plot.line(field(spec.x), level(spec.y),
        { ...common, line_color: part.colour, line_width: part.plain ? 1 : 2, line_dash: part.dash });
      return dots;
    },
    band(plot, part, spec, common) {
      plot.varea(field(spec.x), level("low"), level("high"), { ...common, fill_color: part.colour, fill_alpha: 0.13 });
      return [plot.line(field(spec.x), level(spec.y),
        { ...common, line_color: part.colour, line_width: 2, line_dash: part.dash })];
    },
    bars(plot, part, spec, common) {
      plot.segment(field(spec.x), level("low"), field(spec.x), level("high"),
        { ...common, line_color: part.colour, line_alpha: 0.6 });
      return KINDS.line(plot, part, spec, common);
    },
    crosses(plot, part, spec, common) {
      return [plot.scatter(field(spec.x), field("edge"), { ...common, marker: "x", size: 10, line_width: 2, color: part.colour })];
    },
    steps(plot, part, spec, common) {
      return [plot.step(field(spec.x), level(spec.y), "after",
        { ...common, line_color: part.colour, line_width: 2, line_dash: part.dash })];
    },
    dots(plot, part, spec, common) {
      return [plot.scatter(field(spec.x), level(spec.y),
        { ...common, marker: part.marker, size: 5, color: part.colour, alpha: 0.6 })];
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
  const DECADES = Array.from({ length: 41 }, (_, i) => i - 30);
  const ticks = (axis, values) => {
    const positive = values.filter((v) => v > 0);
    axis.ticker.num_minor_ticks = 0;
    if (!positive.length || Math.max(...positive) / Math.min(...positive) > 60) return;
    const ticks = DECADES.flatMap((d) => [1, 2, 5].map((m) => Number(`${m}e${d}`)));
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
