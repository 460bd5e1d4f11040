"""The command `mfbench`. Commands import what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

import os
from signal import SIGINT
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mfbench.benchmarks.cli import compare as cli_compare
from mfbench.benchmarks.cli import data as cli_data
from mfbench.benchmarks.cli import discover as cli_discover
from mfbench.benchmarks.cli import discovery as cli_discovery
from mfbench.benchmarks.cli import export as cli_export
from mfbench.benchmarks.cli import export_model as cli_export_model
from mfbench.benchmarks.cli import figures as cli_figures
from mfbench.benchmarks.cli import fit as cli_fit
from mfbench.benchmarks.cli import info as cli_info
from mfbench.benchmarks.cli import list as cli_list
from mfbench.benchmarks.cli import measure as cli_measure
from mfbench.benchmarks.cli import plan as cli_plan
from mfbench.benchmarks.cli import predict as cli_predict
from mfbench.benchmarks.cli import regress as cli_regress
from mfbench.benchmarks.cli import report as cli_report
from mfbench.benchmarks.cli import run as cli_run
from mfbench.benchmarks.cli import tune as cli_tune

EXIT_CODES = "Exit codes: 0 done; 1 a run failed, or a number is worse; 2 wrong input; 3 the disk; 128 + n signal n."

#: Sentences on what a stopped command leaves, where the same command finds it again; and the one of all others.
_LEFT = {
    **dict.fromkeys(
        ("run", "compare", "tune", "discover"), "What has finished is stored; the same command goes on from there."
    ),
    "fit": "Checkpoints are written every half minute of training; the same command goes on from the last.",
}
_WHOLE = "Files that it writes are there whole or not at all."


class _Group(TyperGroup):
    """Turns errors that a user can act on, and signals, into one message on stderr and an exit code of their own."""

    def invoke(self, ctx: Any) -> Any:
        from mfbench.benchmarks.cli.signals import Stopped, stopping
        from mfbench.mfcore.errors import MfbenchError, StorageError

        try:
            with stopping():
                return super().invoke(ctx)
        except MfbenchError as error:
            _complain(str(error))
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:  # nobody reads the output any more; click ends without a word
            raise
        except OSError as error:
            fault = StorageError.of(error)
            _complain(str(fault))
            raise typer.Exit(fault.exit_code) from error
        except KeyboardInterrupt as stop:
            by, code = (f" by {stop.number.name}", stop.number) if isinstance(stop, Stopped) else ("", SIGINT)
            left = getattr(stop, "__notes__", [_LEFT.get(str(ctx.invoked_subcommand), _WHOLE)])
            _complain(f"stopped{by}. {left[0]}")
            raise typer.Exit(128 + code) from None


def _complain(message: str) -> None:
    from rich.console import Console

    from mfbench.mfcore.text import printable

    # No markup and no wrapping: paths and keys stay whole, and brackets stay brackets.
    text = printable(f"error: {message}")
    Console(stderr=True, highlight=False).print(text, style="bold red", markup=False, soft_wrap=True)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Which multi-fidelity training strategy gives the best interatomic potential for your labels and budget?",
    epilog=f"Example: mfbench run quick && mfbench report results/runs/quick\n\n{EXIT_CODES}",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mfbench {version('mfbench')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show log messages.")] = False,
) -> None:
    if verbose:
        import logging

        from rich.console import Console
        from rich.logging import RichHandler

        logging.basicConfig(level=logging.INFO, handlers=[RichHandler(console=Console(stderr=True))])


for module in (
    cli_list,
    cli_run,
    cli_plan,
    cli_tune,
    cli_report,
    cli_figures,
    cli_export,
    cli_export_model,
    cli_regress,
    cli_compare,
    cli_fit,
    cli_predict,
    cli_measure,
    cli_discover,
    cli_discovery,
    cli_data,
    cli_info,
):
    module.register(app)


def main() -> None:
    """Entry point of the command."""
    # Before torch is loaded: threads that spin while they wait take the cores from other programs, and from each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from mfbench.mfcore.memory import keep_freed_memory

    keep_freed_memory()
    app()


if __name__ == "__main__":
    main()
