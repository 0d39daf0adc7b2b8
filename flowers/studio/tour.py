"""The first visit's tour: four steps, each pointing at the tab that it speaks of. scripts/tour.js walks it."""

from flowers.studio.language import say

# What each step is about, and the tab that it points at.
STEPS = {"ask": "classify", "bring": "photos", "train": "train", "understand": "evaluate"}


def html() -> str:
    """The dialog with all its steps, for the page's layout."""
    count = len(STEPS)
    steps = "".join(
        f'<section data-tab="{tab}" hidden=""><p class="sub">{say("tour.step", number=number, count=count)}</p>'
        f'<h2 id="tour-{name}">{say(f"tour.{name}.title")}</h2><p>{say(f"tour.{name}.text")}</p></section>'
        for number, (name, tab) in enumerate(STEPS.items(), 1)
    )
    return (
        f'<dialog id="tour" class="sheet"><div class="ring" aria-hidden="true"></div>{steps}<nav>'
        f'<button type="button" class="skip">{say("tour.skip")}</button>'
        f'<button type="button" class="back">{say("tour.back")}</button>'
        f'<button type="button" class="next" data-last="{say("tour.done")}">{say("tour.next")}</button></nav></dialog>'
    )


def button() -> str:
    """The header's button that starts the tour again."""
    return (
        f'<button type="button" id="tour-start" aria-label="{say("tour.again")}" title="{say("tour.again")}">?</button>'
    )
