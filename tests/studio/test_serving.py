"""How the studio ends when it cannot be served; tests/browser/test_page.py tries it with a port that is taken."""

import pytest

from flowers.studio import app


class Unserved:
    """A page of Gradio's for which there is no port."""

    def queue(self, **limits) -> "Unserved":
        return self

    def launch(self, **options) -> None:
        raise OSError("Cannot find empty port in range: 7860-7860.")


def test_a_port_that_is_taken_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setattr(app, "build", lambda opened: Unserved())
    with pytest.raises(SystemExit) as ended:
        app.main(["--port", "7860"])
    assert "Cannot find empty port" in ended.value.code
    assert ended.value.code.endswith("choose another --port or --host.")
