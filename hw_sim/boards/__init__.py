"""Emulated microcontrollers."""
