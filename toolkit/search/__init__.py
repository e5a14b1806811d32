"""The search: which pruning, which weights, which activations for each layer, by optuna."""

from toolkit.search.run import SearchResult, build_trial, run_search, search_text
from toolkit.search.search import Found, Limits, search

__all__ = ["Found", "Limits", "SearchResult", "build_trial", "run_search", "search", "search_text"]
