"""Setting a broken checkpoint aside: renamed, never deleted."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError


def set_aside(checkpoint: Path) -> Path | None:
    """Rename ``checkpoint-20`` to ``broken-checkpoint-20`` (or ``...-20.2`` when that is there already).

    A rename either happens or not, so several processes may try at once: the first one does it, the others find the
    folder gone, which is what they wanted.

    Returns:
        The new place, None when another process was first.

    Raises:
        UserError: the folder cannot be renamed.
    """
    target = checkpoint.with_name(f"broken-{checkpoint.name}")
    count = 1
    while target.exists():
        count += 1
        target = checkpoint.with_name(f"broken-{checkpoint.name}.{count}")
    try:
        return checkpoint.rename(target)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(
            f"{checkpoint}: is broken and cannot be renamed ({error.strerror}), so the run would try to resume from it",
            hint=f"mv {checkpoint} {target}",
        ) from None
