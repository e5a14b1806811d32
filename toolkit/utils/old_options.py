"""Options by the names that they had in the release before: accepted in this one, with a note."""

from __future__ import annotations

RENAMED = {
    "--tuning": ("--finetune-epochs",), "--epochs": ("--qat-epochs",), "--rate": ("--lr",),
    "--plain": ("--rounding", "nearest"), "--widest": ("--max-lanes",), "--edited": ("--allow-edited",),
    "--layer": ("--layer-config",), "--interval": ("--ii",), "--trained": ("--train",), "--as-is": ("--no-train",),
}
"""The old name, and the words that take its place."""


def renamed(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The arguments with every old name replaced, and a note for each old name; what follows `--` stays as it is."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words: list[str] = []
    notes: dict[str, str] = {}
    for argument in arguments[:end]:
        name, equals, value = argument.partition("=")
        new = RENAMED.get(name)
        if new is None or (equals and len(new) > 1):
            words.append(argument)
            continue
        notes[name] = f"note: {name} is now {' '.join(new)}"
        words += [f"{new[0]}={value}"] if equals else new
    return words + arguments[end:], list(notes.values())
