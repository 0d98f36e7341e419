"""The replication report: what four systems published, and what this harness obtains. `python -m reports.replication`.

studies.py   reads the published figures (experiments/*.yaml), and trains the runs that are compared with them
verdicts.py  compares a published figure with one value, or with the values of many seeds
gaussian.py, taylor.py, polynomials.py, layers.py  each make the figures of one published system
drawings.py  draws the plots
page.py      writes the files of the report
"""
