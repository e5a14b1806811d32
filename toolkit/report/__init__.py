"""What became of a network: in text, as JSON, and as a picture."""

from toolkit.report.plot import svg
from toolkit.report.report import Hardware, Network, Report
from toolkit.report.text import text

__all__ = ["Hardware", "Network", "Report", "svg", "text"]
