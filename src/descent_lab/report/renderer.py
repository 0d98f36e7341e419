"""Draws a figure once for two files: each shape goes to the pixels of a PNG, and to an SVG.

Most of drawing is to find out what is to be drawn: ticks, the places of labels, outlines. Two calls of `savefig` would
find it out twice.
"""

from pathlib import Path
from typing import IO, Any

from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D, Transform, TransformedBbox, TransformedPath

DPI = 150  # of the PNG
POINTS = 72  # an inch in an SVG
METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


def write(figure: Figure, svg: Path | None = None, png: Path | None = None) -> None:
    """Write the figure to these files, without a date or a version in them."""
    figure.dpi = DPI
    pixels = FigureCanvasAgg(figure).get_renderer()
    if svg is None:
        figure.draw(pixels)
    else:
        with svg.open("w", encoding="utf-8") as file:
            shapes = _svg(figure, file)
            figure.draw(_Both(pixels, shapes))
            shapes.finalize()
    if png is not None:
        quick = {"compress_level": 2}
        imsave(png, pixels.buffer_rgba(), format="png", dpi=DPI, metadata=METADATA["png"], pil_kwargs=quick)


def _svg(figure: Figure, file: IO[str]) -> RendererSVG:
    width, height = POINTS * figure.get_size_inches()
    return RendererSVG(width, height, file, image_dpi=DPI, metadata=METADATA["svg"])


class _Both(RendererBase):
    """Passes everything on to a renderer of pixels, whose measures count, and scaled to points to one of an SVG."""

    def __init__(self, pixels: RendererAgg, shapes: RendererSVG) -> None:
        super().__init__()
        self.pixels, self.shapes = pixels, shapes
        self.width, self.height = pixels.width, pixels.height
        self.ratio = POINTS / DPI
        self.to_points = Affine2D().scale(self.ratio)
        for name in ("get_canvas_width_height", "get_text_width_height_descent", "points_to_pixels", "new_gc", "flipy"):
            setattr(self, name, getattr(pixels, name))
        self.option_image_nocomposite = pixels.option_image_nocomposite  # type: ignore[method-assign]
        self.open_group, self.close_group = shapes.open_group, shapes.close_group  # type: ignore[method-assign]

    def draw_path(self, gc: GraphicsContextBase, path: Outline, transform: Transform, rgbFace: Any = None) -> None:
        self.pixels.draw_path(gc, path, transform, rgbFace)
        self.shapes.draw_path(self._in_points(gc), path, transform + self.to_points, rgbFace)

    def draw_markers(
        self,
        gc: GraphicsContextBase,
        marker_path: Outline,
        marker_trans: Transform,
        path: Outline,
        trans: Transform,
        rgbFace: Any = None,
    ) -> None:
        self.pixels.draw_markers(gc, marker_path, marker_trans, path, trans, rgbFace)
        scaled = (marker_path, marker_trans + self.to_points, path, trans + self.to_points)
        self.shapes.draw_markers(self._in_points(gc), *scaled, rgbFace)

    def draw_path_collection(
        self,
        gc: GraphicsContextBase,
        master_transform: Transform,
        paths: Any,
        all_transforms: Any,
        offsets: Any,
        offset_trans: Transform,
        *looks: Any,
        **more: Any,
    ) -> None:
        given = (paths, all_transforms, offsets)
        self.pixels.draw_path_collection(gc, master_transform, *given, offset_trans, *looks, **more)
        master, offset = (transform + self.to_points for transform in (master_transform, offset_trans))
        self.shapes.draw_path_collection(self._in_points(gc), master, *given, offset, *looks, **more)

    def draw_quad_mesh(
        self,
        gc: GraphicsContextBase,
        master_transform: Transform,
        width: int,
        height: int,
        coordinates: Any,
        offsets: Any,
        offset_trans: Transform,
        *looks: Any,
    ) -> None:
        given = (width, height, coordinates, offsets)
        self.pixels.draw_quad_mesh(gc, master_transform, *given, offset_trans, *looks)
        master, offset = (transform + self.to_points for transform in (master_transform, offset_trans))
        self.shapes.draw_quad_mesh(self._in_points(gc), master, *given, offset, *looks)

    def draw_gouraud_triangles(
        self, gc: GraphicsContextBase, triangles_array: Any, colors_array: Any, transform: Transform
    ) -> None:
        self.pixels.draw_gouraud_triangles(gc, triangles_array, colors_array, transform)
        scaled = transform + self.to_points
        self.shapes.draw_gouraud_triangles(self._in_points(gc), triangles_array, colors_array, scaled)

    def draw_image(self, gc: GraphicsContextBase, x: float, y: float, im: Any, transform: Any = None) -> None:
        self.pixels.draw_image(gc, x, y, im)
        self.shapes.draw_image(self._in_points(gc), x * self.ratio, y * self.ratio, im)  # which knows the DPI

    def draw_text(
        self, gc: GraphicsContextBase, x: float, y: float, s: str, prop: Any, angle: float, *more: Any, **named: Any
    ) -> None:
        self.pixels.draw_text(gc, x, y, s, prop, angle, *more, **named)
        place = (x * self.ratio, y * self.ratio)
        self.shapes.draw_text(self._in_points(gc), *place, s, prop, angle, *more, **named)

    def _in_points(self, gc: GraphicsContextBase) -> GraphicsContextBase:
        """The same colours and strokes, which are in points already, with what they are clipped to in points."""
        scaled: GraphicsContextBase = self.shapes.new_gc()
        scaled.copy_properties(gc)
        if (rectangle := gc.get_clip_rectangle()) is not None:
            scaled.set_clip_rectangle(TransformedBbox(rectangle, self.to_points))  # type: ignore[arg-type]
        outline: Any
        transform: Any
        outline, transform = gc.get_clip_path()
        if outline is not None:
            scaled.set_clip_path(TransformedPath(outline, transform + self.to_points))
        return scaled
