"""A section of the report: the largest loss that any seed ended at. Its table is written to worst.csv."""

from collections.abc import Iterator

from descent_lab.report.section import SECTIONS, Drawing, Section, Table


def worst(report):
    """`dataset, entrant, loss`, from the runs that are reported."""
    runs = report.selection.runs
    return runs.groupby(["dataset", "entrant"], as_index=False)["final_train_loss"].max()


def draw(table, looks):
    """A bar for each entrant, in the colour that it has everywhere."""
    import seaborn as sns

    from descent_lab.report import drawing

    palette = {name: style.colour for name, style in looks.items()}

    def bars(ax, rows):
        sns.barplot(rows, x="final_train_loss", y="entrant", hue="entrant", palette=palette, legend=False, ax=ax)

    return drawing.panels(table, "dataset", bars, "largest final training loss", "", {}, left=1.0)


def figures(report) -> Iterator[Drawing]:
    """figures/worst.svg and .png."""
    yield Drawing("worst", draw, (report.table("worst"), report.looks))


def content(report) -> Iterator:
    """What the page shows."""
    from descent_lab.report.blocks import Files, Picture, Words

    yield Words("The largest final training loss of any seed, for each entrant.")
    yield Picture("worst", "Largest final training loss of each entrant")
    yield Files(["worst"])


TABLES = {"worst": Table(worst, "the largest final/train_loss of the reported runs")}
SECTIONS.add("worst", Section("Worst seeds", 25, tables=TABLES, figures=figures, content=content))
