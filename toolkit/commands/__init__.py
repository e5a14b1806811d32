"""The commands, a file each; `toolkit.api` is the door to them."""
