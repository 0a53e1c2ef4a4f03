"""The page itself, run by Streamlit: ``streamlit run page.py -- FOLDER [BASE]``. Each change runs it from the top."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

from lf_registry.chat_page.pair import Decoding, Pair, load_pair


@st.cache_resource(show_spinner="Loading the models; the first time takes a while.")
def pair_of(folder: str, base: str | None) -> Pair:
    """Load once for all visitors of the page."""
    return load_pair(Path(folder), base)


def controls(pair: Pair) -> tuple[Decoding, bool]:
    """The side bar: decoding and the persona."""
    with st.sidebar:
        persona = st.toggle(
            "Persona prompt",
            value=True,
            disabled=not pair.persona,
            help="On: both get the system text of the tuned model's chat template. Off: neither does."
            if pair.persona
            else "The tuned model's chat template has no system text of its own.",
        )
        if pair.persona:
            with st.expander("Its text"):
                st.text(pair.persona)
        decoding = Decoding(
            max_new_tokens=st.slider("Longest answer, tokens", 16, 1024, 256, step=16),
            temperature=st.slider("Temperature", 0.0, 1.5, 0.0, step=0.1, help="0: the most likely token each time"),
            top_p=st.slider("Top p", 0.1, 1.0, 0.9, step=0.05),
            repetition_penalty=st.slider("Repetition penalty", 1.0, 1.5, 1.0, step=0.05),
            seed=st.number_input("Seed", min_value=0, value=0),
        )
        if st.button("New conversation"):
            st.session_state.turns = []
    return decoding, persona


def messages_of(turns: list[dict[str, str]], side: str) -> list[dict[str, str]]:
    """The conversation as one side has seen it: the same questions, its own answers."""
    found = []
    for turn in turns:
        found.append({"role": "user", "content": turn["question"]})
        if turn.get(side):
            found.append({"role": "assistant", "content": turn[side]})
    return found


def show(turn: dict[str, str], sides: list[str]) -> None:
    """A finished turn."""
    st.chat_message("user").write(turn["question"])
    for column, side in zip(st.columns(len(sides)), sides, strict=True):
        column.chat_message("assistant").write(turn.get(side) or "(no answer)")


def main() -> None:
    """Draw the page."""
    folder, base = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    st.set_page_config(page_title=f"{Path(folder).name}, before and after", layout="wide")
    pair = pair_of(folder, base)
    decoding, persona = controls(pair)
    sides = [side for side in ("base", "tuned") if side in pair.sides]
    for column, side in zip(st.columns(len(sides)), sides, strict=True):
        column.subheader({"base": "Base", "tuned": f"Tuned: {Path(folder).name}"}[side])
    turns: list[dict[str, str]] = st.session_state.setdefault("turns", [])
    for turn in turns:
        show(turn, sides)
    question = st.chat_input("Ask both")
    if not question:
        return
    turn = {"question": question}
    st.chat_message("user").write(question)
    places = [column.chat_message("assistant").empty() for column in st.columns(len(sides))]
    for place, side in zip(places, sides, strict=True):
        pieces = pair.stream(side, messages_of([*turns, turn], side), decoding, persona=persona)
        with place:
            turn[side] = st.write_stream(pieces) or "(no answer)"
    turns.append(turn)


main()
