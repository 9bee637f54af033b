"""MODEL_CARD.md, made from the manifest alone."""

from typing import Any


def card(manifest: dict[str, Any]) -> str:
    lines = [f"# {manifest['name']} {manifest['version']}", "", f"{manifest['method']['summary']}.", ""]
    return "\n".join(lines) + "\n"
