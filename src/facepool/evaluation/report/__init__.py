"""Reports: in come results, out go ``report.json``, the terminal's tables, and one page of HTML with the worst photos.

Start with ``summary``; ``page`` needs the extra ``evaluate`` and is imported only where a page is made.
"""
