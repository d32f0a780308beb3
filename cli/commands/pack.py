"""`audio-dcls pack` stores clips in Parquet shards; `pack verify` checks them; `pack info` describes them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from audio_dcls_cli.options import NUM_THREADS, Json, LabelsFile, Workers, group_with_default

WRITE = "write"
HELP = (
    "Pack clips in Parquet shards, here or on an object store.\n\n"
    "`audio-dcls pack MANIFEST OUT` packs: it is short for `pack write MANIFEST OUT`, whose options "
    "`pack write --help` explains. Given again after an interruption, it continues.\n\n"
    "A pack is a manifest: `data.manifests=[OUT]`, `manifest check OUT` and `eval --manifest OUT` take it."
)
app = typer.Typer(cls=group_with_default(WRITE), no_args_is_help=True, help=HELP)
Address = Annotated[
    str, typer.Argument(metavar="OUT", help="Folder, or address such as s3://bucket/pack.", show_default=False)
]


@app.command(
    WRITE, help="Pack a manifest's clips; shards that are packed already stay. Exit code 1 if clips could not be read."
)
def write(
    manifest: Annotated[
        str,
        typer.Argument(help="Manifest CSV, HDF5 file, pack, or folder of Parquet files.", show_default=False),
    ],
    out: Address,
    codec: Annotated[
        Literal["flac", "pcm16", "opus", "source"],
        typer.Option(
            help="flac: lossless; pcm16: fastest to read, twice the size; opus: a sixth of pcm16, lossy; "
            "source: files as they are."
        ),
    ] = "flac",
    rows_per_shard: Annotated[int, typer.Option(min=1, metavar="N", help="Clips per shard.")] = 500,
    sample_rate_hz: Annotated[
        int, typer.Option("--rate", min=1, metavar="HZ", help="Sample rate to store the sounds at, mono.")
    ] = 32_000,
    labels: LabelsFile = None,
    id_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column that names the clips of Parquet files.")
    ] = None,
    labels_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the labels of Parquet files.")
    ] = None,
    retry_left_out: Annotated[
        bool, typer.Option("--retry-left-out", help="Pack shards again that lack clips.")
    ] = False,
    workers: Workers = NUM_THREADS,
    json_: Json = False,
) -> None:
    """Write OUT/data/SPLIT-00000-of-00012.parquet and so on, and their index."""
    from audio_dcls_cli.actions import pack as actions

    actions.write(
        manifest=manifest,
        out=out,
        codec=codec,
        rows_per_shard=rows_per_shard,
        sample_rate_hz=sample_rate_hz,
        labels=labels,
        id_column=id_column,
        labels_column=labels_column,
        retry_left_out=retry_left_out,
        workers=workers,
        json_=json_,
    )


@app.command("verify", help="Read a whole pack and compare every digest; exit code 1 if something has changed.")
def verify(address: Address, workers: Workers = NUM_THREADS, json_: Json = False) -> None:
    """Report what has changed, by shard and row."""
    from audio_dcls_cli.actions import pack as actions

    actions.verify(address=address, workers=workers, json_=json_)


@app.command("info", help="Print what a pack holds; no shard is read.")
def info(address: Address, json_: Json = False) -> None:
    """Print codec, splits and sizes."""
    from audio_dcls_cli.actions import pack as actions

    actions.info(address=address, json_=json_)
