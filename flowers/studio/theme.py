"""How the studio looks, light and dark: paper, leaf green and one petal colour.

Fonts come with Gradio, so nothing is downloaded; of many of its font files only a few letters came along.
"""

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

CSS = Path(__file__).with_name("studio.css")
SCRIPTS = ("page", "links", "help", "tour", "accessibility", "dropping")  # in this order: they use those before them
HEAD = f"<script>{''.join((CSS.parent / 'scripts' / f'{name}.js').read_text('utf-8') for name in SCRIPTS)}</script>"

LEAF = colors.Color(
    name="leaf", c50="#f0f6ee", c100="#dfecdb", c200="#bfdab8", c300="#97c18f", c400="#68a366", c500="#43864a",
    c600="#2f6b3c", c700="#265532", c800="#20442a", c900="#1a3823", c950="#0c1f12",
)  # fmt: skip
PETAL = colors.Color(
    name="petal", c50="#fdf2f5", c100="#fbe3ea", c200="#f7c8d5", c300="#f09cb3", c400="#e66c8d", c500="#d9486e",
    c600="#bd3158", c700="#9c2547", c800="#7d213b", c900="#692035", c950="#3b0d1a",
)  # fmt: skip
PAPER = colors.Color(
    name="paper", c50="#fbfaf6", c100="#f4f2eb", c200="#e6e4da", c300="#cfcdc0", c400="#a3a596", c500="#737868",
    c600="#585d4f", c700="#41463b", c800="#262b24", c900="#191e19", c950="#111511",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """The studio's Gradio theme."""
    return gr.themes.Base(
        primary_hue=LEAF,
        secondary_hue=PETAL,
        neutral_hue=PAPER,
        radius_size=sizes.radius_lg,
        font=[fonts.LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[fonts.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="#1f2a1e",
        body_text_color_dark="#e9ede4",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        block_background_fill="#ffffff",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_shadow="0 1px 2px rgb(30 40 25 / 0.04)",
        block_shadow_dark="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0",
        block_label_border_width_dark="0",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_label_text_weight="600",
        block_title_text_weight="600",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_800",
        input_background_fill="#ffffff",
        input_background_fill_dark="*neutral_800",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0c1f12",
        button_secondary_background_fill="*neutral_100",
        button_secondary_background_fill_hover="*neutral_200",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_cancel_background_fill="*secondary_600",
        button_cancel_background_fill_dark="*secondary_600",
        button_cancel_background_fill_hover="*secondary_700",
        button_cancel_background_fill_hover_dark="*secondary_700",
        button_cancel_text_color="#ffffff",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )
