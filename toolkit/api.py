"""Every command of the command line as a Python function."""

from toolkit.build import build, compress_all
from toolkit.capture import capture, load_model
from toolkit.compress import Compressed, Data, Scheme, Settings, compress
from toolkit.demo import demo
from toolkit.design import Design
from toolkit.doctor import doctor
from toolkit.estimate.estimate import estimate
from toolkit.generate import generate
from toolkit.hardware import Options
from toolkit.search import Limits, build_trial, run_search
from toolkit.simulation import simulate
from toolkit.verify import Verified, verify

__all__ = ["Compressed", "Data", "Design", "Limits", "Options", "Scheme", "Settings", "Verified", "build",
           "build_trial", "capture", "compress", "compress_all", "demo", "doctor", "estimate", "generate", "load_model",
           "run_search", "simulate", "verify"]
