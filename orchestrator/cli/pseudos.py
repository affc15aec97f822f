"""The commands `crystalloop pseudos install|check|list`: they parse, call and print. No logic lives here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from crystalloop.dft.energies.pseudo_check import check_set, element_note
from crystalloop.dft.recipe.fetch import installed_from
from crystalloop.dft.recipe.pseudo_places import install_folder
from crystalloop.dft.recipe.pseudos import PseudoTable
from crystalloop.orchestrator.cli.options import AsJson, Folder, err, out, print_json, pseudo_folder
from crystalloop.orchestrator.show.tables import show_rows

app = typer.Typer(no_args_is_help=True, help="Pseudopotentials: install, check, list.")

Table = Annotated[
    Path | None, typer.Option(help="JSON table of the set; default the folder's table.json, else SSSP 1.3.0 efficiency")
]
Elements = Annotated[str, typer.Option(help="these elements only, e.g. Li,F; default: all of the table but actinides")]


@app.command("install")
def pseudos_install(
    source: Annotated[
        Path | None,
        typer.Option(help="folder with the UPF files, or an archive of them; default: fetch SSSP 1.3.0 PBE efficiency"),
    ] = None,
    folder: Folder = None,
    table: Table = None,
    elements: Elements = "",
    url: Annotated[
        str | None, typer.Option(help="archive to fetch: .deb, .tar.gz or .tar.xz; default Debian's package")
    ] = None,
) -> None:
    """Install pseudopotentials for this user, every md5 checked: fetched from the net, or taken from a folder.

    Example: crystalloop pseudos install

    Example: crystalloop pseudos install --source ~/SSSP_1.3.0_PBE_efficiency
    """
    if source is not None and url is not None:
        raise typer.BadParameter("--source takes files that you have, --url fetches them: give one of the two")
    target, wanted = folder or install_folder(), _split(elements)
    installed = installed_from(source, url, target, wanted, table, lambda line: err.print(line, markup=False))
    out.print(f"{target}: {check_set(installed, wanted).sentence()}", markup=False, highlight=False)


@app.command("check")
def pseudos_check(folder: Folder = None, table: Table = None, elements: Elements = "") -> None:
    """Verify that every pseudopotential of the table is there, is the one meant, and of one functional.

    Example: crystalloop pseudos check --dir ~/oncv --table ~/oncv/table.json
    """
    known = PseudoTable.load(pseudo_folder(folder), table)
    out.print(f"{known.folder}: {check_set(known, _split(elements)).sentence()}", markup=False, highlight=False)


@app.command("list")
def pseudos_list(folder: Folder = None, table: Table = None, as_json: AsJson = False) -> None:
    """List elements, files and cutoffs.

    Example: crystalloop pseudos list --json
    """
    known = PseudoTable.load(pseudo_folder(folder), table)
    rows: list[dict[str, Any]] = [
        asdict(entry) | {"note": element_note(element)} for element, entry in sorted(known.entries.items())
    ]
    if as_json:
        print_json(rows)
    else:
        show_rows(out, [{name: value for name, value in row.items() if name != "md5"} for row in rows])


def _split(elements: str) -> tuple[str, ...] | None:
    return tuple(symbol.strip() for symbol in elements.split(",") if symbol.strip()) or None
