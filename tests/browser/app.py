"""``python app.py`` as the browser's tests start it: with another trainer, and on a machine whose pace is known."""

from flowers.files import write_json
from flowers.recipe import PRESETS
from flowers.studio import presets
from flowers.studio.app import main
from flowers.training import process

SECONDS_A_PHOTO = 0.1

if __name__ == "__main__":
    process.TRAINER = "tests.trainer"
    presets._file().parent.mkdir(parents=True, exist_ok=True)
    write_json(presets._file(), dict.fromkeys(PRESETS, SECONDS_A_PHOTO))
    main()
