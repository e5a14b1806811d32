"""Every command of the command line as a Python function."""

from toolkit.capture import capture, load_model
from toolkit.commands.build import build, compress_all
from toolkit.commands.check import Checked, check
from toolkit.commands.demo import demo
from toolkit.commands.doctor import doctor
from toolkit.commands.generate import generate
from toolkit.commands.simulate import simulate
from toolkit.commands.verify import Verified, verify
from toolkit.compress import Compressed, Data, Scheme, Settings, compress
from toolkit.compress.normalise import normalised
from toolkit.design import Design
from toolkit.estimate.estimate import estimate
from toolkit.hardware import Options
from toolkit.search import Limits, build_trial, run_search

__all__ = ["Checked", "Compressed", "Data", "Design", "Limits", "Options", "Scheme", "Settings", "Verified", "build",
           "build_trial", "capture", "check", "compress", "compress_all", "demo", "doctor", "estimate", "generate",
           "load_model", "normalised", "run_search", "simulate", "verify"]
