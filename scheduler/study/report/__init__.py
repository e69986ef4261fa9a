"""A study's report: what a scientist wants to know of it, as one HTML file and as Markdown.

In: a study's folder and reader, whether it runs or not. Out: files by their names. `sections/`
reads the study and says what there is to say, in plain blocks (`blocks.py`); `html.py` and
`markdown.py` render them, and know no study. Its length is bounded, however long the study: only
what was kept is shown whole. Decides nothing, writes nothing into a study but where it is asked
to.
"""

from scheduler.study.report.files import FORMATS, report_files, write_report

__all__ = ["FORMATS", "report_files", "write_report"]
