"""The replication report: what four systems published, and what this harness obtains. `python -m reports.replication`.

studies.py  what was published (experiments/*.yaml), and the runs it is held against, made through the harness
verdicts.py a published figure against one value or against those of many seeds
gaussian.py taylor.py polynomials.py layers.py  the figures of each system
drawings.py the plots;   page.py  the report's files
"""
