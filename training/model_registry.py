"""A folder of deployed models. Whoever serves a model reads ``live``, and ``variants`` beside it.

``<registry>/<model>/versions/<version>/{model.pkl, about.json}``; ``live`` and ``variants/<version>`` are links to versions. A
version is complete before a link leads to it, and a link is replaced in one step: a reader sees the old model or the new one.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


def default_registry() -> str:
    """CARRIER_RISK_REGISTRY, else the folder ``registry`` beside this file."""
    return os.environ.get("CARRIER_RISK_REGISTRY") or str(Path(__file__).resolve().parent / "registry")


@dataclass(frozen=True)
class Deployed:
    """A model in the registry, its digest checked."""

    version: str
    model: bytes
    about: dict


class Registry:
    """The versions of one model."""

    def __init__(self, folder, model: str):
        self.folder = Path(folder) / model

    def live(self):
        """The live model; None when there is none."""
        link = self.folder / "live"
        return self._read(link.resolve()) if link.is_symlink() else None

    def variants(self) -> dict:
        """The models beside the live one, by version."""
        links = sorted((self.folder / "variants").glob("*")) if (self.folder / "variants").is_dir() else []
        return {link.name: self._read(link.resolve()) for link in links if link.is_symlink()}

    def deploy(self, version: str, model: bytes, about: dict) -> bool:
        """Put a version in and link it as ``about["kind"]`` says; False when that was done before."""
        if hashlib.sha256(model).hexdigest() != about["digest"]:
            raise ValueError(f"version {version} is not what was trained: its digest differs")
        place = self.folder / "versions" / version
        known = place.is_dir()
        if not known:
            self._complete(place, model, about)
        link = self.folder / "live" if about["kind"] == "replace" else self.folder / "variants" / version
        if known and link.is_symlink() and link.resolve() == place.resolve():
            return False
        link.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as beside:
            fresh = Path(beside) / "link"
            fresh.symlink_to(os.path.relpath(place, link.parent))
            fresh.replace(link)
        return True

    def _complete(self, place: Path, model: bytes, about: dict) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=place.parent, prefix=".making-"))
        (fresh / "model.pkl").write_bytes(model)
        (fresh / "about.json").write_text(json.dumps(about, indent=2))
        fresh.rename(place)

    def _read(self, place: Path):
        about, model = json.loads((place / "about.json").read_text()), (place / "model.pkl").read_bytes()
        if hashlib.sha256(model).hexdigest() != about["digest"]:
            raise ValueError(f"{place.name} in the registry is damaged: its digest differs")
        return Deployed(place.name, model, about)
