"""The settings of a server, in one frozen object that checks them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.config.binding import is_loopback
from service.config.model_table import ModelTable

EMBEDDED = ("cifar10-plain", "cifar10-robust", "digits-lenet5")  # networks that come along

HOSTED_NAME = re.compile(r"[\w.-]{1,100}")  # of a model or a data set

Port = Annotated[int, Field(ge=0, le=65535)]


def dataset_uris(value: Any) -> Any:
    """Read data sets as NAME=URI.

    Args:
        value: a list of texts (flags), one text with commas between pairs (the environment), or a
            table by name (the file), which stays as it is.

    Returns:
        The URIs by name.

    Raises:
        ValueError: a text is no NAME=URI.
    """
    if isinstance(value, str):
        value = re.split(r",(?=[\w.-]+=)", value)  # a comma inside a URI is none between pairs
    if not isinstance(value, list):
        return value
    uris = {}
    for text in (str(item).strip() for item in value):
        name, _, uri = text.partition("=")
        if not HOSTED_NAME.fullmatch(name) or not uri:
            raise ValueError(
                f"must be NAME=URI, with a name of letters, digits, '_', '.' and '-', not {text!r}"
            )
        uris[name] = uri
    return uris


def _names(value: object) -> object:
    """The names in a text with commas between them, as the environment has it."""
    if not isinstance(value, str):
        return value
    return [name.strip() for name in value.split(",") if name.strip()]


def default_state_dir() -> Path:
    """Return the user's folder for state, by the XDG convention."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "striate"


class Settings(BaseModel):
    """Hosts pretrained CNNs over gRPC: what each unit sees, and what fools the whole.

    Every flag can also be set as environment variable STRIATE_NAME (several values with commas
    between) or in the TOML file; flags win, then the environment. Data sets are gathered from all
    three.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: Port = Field(50051, description="port to listen on; 0 picks a free one")
    tls_certificate: Path | None = Field(
        None, description="PEM file of the server's certificate; read again when it changes"
    )
    tls_key: Path | None = Field(None, description="PEM file of the certificate's private key")
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file of authorities: every client must show a certificate of theirs",
    )
    auth: Path | None = Field(
        None,
        description="TOML file of who may do what, by token or certificate; read again when it "
        "changes. Without one everybody who reaches the port may do everything",
    )
    access_log: Path | None = Field(
        None,
        description="file of who did what, a JSON object a line; 16 files of 64 MiB are kept",
    )
    insecure: bool = Field(
        False,
        description="serve whoever reaches the port: without it an address that other machines "
        "reach is refused unless there are TLS and authentication",
    )
    model: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        EMBEDDED, description="model to load at start; may be repeated"
    )
    bundle: Annotated[tuple[Path, ...], BeforeValidator(_names)] = Field(
        (),
        description="bundle to host, NAME.striate, under NAME; may be repeated",
    )
    weights_dir: Path | None = Field(
        None,
        description="folder of NAME.striate, NAME.safetensors or NAME.pth, read before anything is "
        "downloaded",
    )
    dataset: dict[str, str] = Field(
        {"digits": "digits", "photo-patches": "photo-patches"},
        description="data set as NAME=URI; may be repeated",
    )
    on_error: Literal["fail", "skip"] = Field(
        "fail",
        description="what an image of a data set that cannot be used does to passes over it, such "
        "as indexes and audits, where its URI does not say: fail ends them, skip leaves it out, "
        "counted and listed",
    )
    state_dir: Path = Field(
        default_factory=default_state_dir,
        description="folder of indexes, operations and downloads",
    )
    index_uri: str | None = Field(
        None,
        min_length=1,
        description="folder or fsspec URL of indexes, e.g. s3://bucket/prefix; default: in the "
        "state folder",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="device of the networks: auto (a GPU if there is one), cpu, cuda or cuda:N",
    )
    threads: int = Field(
        0, ge=0, le=1024, description="CPU threads of the engine; 0 leaves it to torch"
    )
    queue_size: int = Field(
        256, ge=1, description="jobs that may wait for the device; more are refused"
    )
    tick_rows: int = Field(
        0, ge=0, description="most images of one pass; 0: 64 on a CPU, 1024 on a GPU"
    )
    memory_bytes: int = Field(
        0,
        ge=0,
        description="memory for jobs and passes; 0: a quarter of the machine's, or half of what is "
        "free on a GPU",
    )
    model_bytes: int = Field(
        0,
        ge=0,
        description="memory for the weights of all loaded models; 0: half of the device's, or of "
        "the machine's for a CPU",
    )
    deterministic_chunk: int = Field(
        0, ge=0, le=256, description="images of a deterministic pass; 0: 8 on a CPU, 32 on a GPU"
    )
    image_pixels: int = Field(
        64_000_000,
        ge=2**14,
        le=64_000_000,
        description="most pixels of one image of a request, before it is resized",
    )
    request_pixels: int = Field(
        2**29,
        ge=2**14,
        description="most pixels of all images of one request; each counts at least 16384, and as "
        "what it is resized to if that is more",
    )
    decode_pixels: int = Field(
        2**31,
        ge=2**14,
        description="most pixels that wait to be decoded for all requests together; more are told "
        "when to come back",
    )
    picture_cache_bytes: int = Field(
        2 * 2**30, ge=0, description="disk space for pictures of whole layers; 0 keeps none"
    )
    disk_floor_bytes: int = Field(
        256 * 2**20,
        ge=0,
        description="space that stays free on the disk of the state folder: below it new "
        "operations and uploads are refused and pictures are not kept; 0: no floor",
    )
    keep_operations_days: float = Field(
        90.0,
        ge=0,
        le=36500,
        description="days of serving after which an operation that has ended is forgotten, beside "
        "the newest 10,000; 0: never. Clocks that jump and servers that stand still count nothing",
    )
    keep_audits_days: float = Field(
        365.0, ge=0, le=36500, description="the same for audits, which go with their reports"
    )
    keep_uploads_days: float = Field(
        90.0,
        ge=0,
        le=36500,
        description="days of serving after its last use after which an uploaded data set is "
        "removed; 0: never",
    )
    drain_seconds: float = Field(
        20.0, ge=0, le=86400, description="time that calls have to finish after SIGTERM"
    )
    load_seconds: float = Field(
        1800.0,
        ge=0,
        le=86400,
        description="time that loading a model may take, its download included; 0: any",
    )
    factory_seconds: float = Field(
        300.0,
        ge=0,
        le=86400,
        description="time that a factory may take in the process of its own in which it is tried "
        "before it is called in the server; 0: it is not tried, which saves some seconds of its "
        "first load",
    )
    stall_seconds: float = Field(
        120.0,
        gt=0,
        le=86400,
        description="time that one pass of the device may take; beyond it the health service says "
        "that striate.readiness is NOT_SERVING",
    )
    health_port: Port = Field(
        0,
        description="port on which the health service alone is answered, in plain text and without "
        "keys, on the same address as all else: for probes that speak no TLS; 0: none",
    )
    metrics_port: Port = Field(0, description="port of Prometheus' metrics; 0 serves none")
    metrics_host: str = Field(
        "127.0.0.1", min_length=1, description="address of Prometheus' metrics to listen on"
    )
    metrics_insecure: bool = Field(
        False,
        description="serve metrics to whoever reaches their port, which other machines may",
    )
    otlp_endpoint: str = Field(
        "",
        max_length=2048,
        description="receiver of OpenTelemetry's traces over gRPC, such as http://localhost:4317, "
        "as OTEL_EXPORTER_OTLP_ENDPOINT names it, too; without either nothing is traced",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level of what is logged: debug, info, warning or error"
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="form of the log: json for machines, console for eyes"
    )
    settings: Path | None = Field(
        None, description="TOML file of these settings and of [models.NAME] tables"
    )
    models: Mapping[str, ModelTable] = Field({}, exclude=True)

    @model_validator(mode="after")
    def _files_of_tls(self) -> "Settings":
        """Check that what needs another is not alone."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            lone, other = ("tls_key", "tls_certificate")
            if self.tls_key is None:
                lone, other = other, lone
            raise ValueError(f"{lone}: needs {other} beside it")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca: needs tls_certificate and tls_key beside it")
        return self

    @model_validator(mode="after")
    def _closed_to_strangers(self) -> "Settings":
        """Check that nobody can reach the server from elsewhere, or has to show who they are."""
        if self.insecure:
            return self
        open_metrics = self.metrics_port and not self.metrics_insecure
        if open_metrics and not is_loopback(self.metrics_host):
            raise ValueError(
                f"metrics_host: other machines reach {self.metrics_host}, and metrics are served "
                f"without TLS and keys; --metrics-insecure serves everyone who reaches their port"
            )
        if not self._asks_who_calls and not is_loopback(self.host):
            raise ValueError(
                f"host: other machines reach {self.host}, so that it needs TLS (--tls-certificate, "
                f"--tls-key) and authentication (--auth or --tls-client-ca); --insecure serves "
                f"everyone who reaches the port"
            )
        return self

    @property
    def _asks_who_calls(self) -> bool:
        """Whether calls are encrypted and callers have to show who they are."""
        asks = self.auth is not None or self.tls_client_ca is not None
        return asks and self.tls_certificate is not None

    @model_validator(mode="after")
    def _names_of_bundles(self) -> "Settings":
        """Check that each bundle is there, and that it is hosted under a name of its own."""
        taken = set(self.models)
        for file in self.bundle:
            if not file.is_file():
                raise ValueError(f"bundle: there is no file {file}")
            if not HOSTED_NAME.fullmatch(file.stem):
                raise ValueError(
                    f"bundle: {file.name} must be called NAME.striate, with a name of letters, "
                    f"digits, '_', '.' and '-'"
                )
            if file.stem in taken:
                raise ValueError(f"bundle: two models would be called {file.stem}; rename {file}")
            taken.add(file.stem)
        return self

    @model_validator(mode="after")
    def _pixels_that_fit(self) -> "Settings":
        """Check that one image fits into a request, and a request into the server's limit."""
        for less, more in (("image_pixels", "request_pixels"), ("request_pixels", "decode_pixels")):
            if getattr(self, less) > getattr(self, more):
                raise ValueError(
                    f"{more}: is {getattr(self, more)}, must be at least {less}, which is "
                    f"{getattr(self, less)}"
                )
        return self

    @property
    def tables(self) -> Mapping[str, ModelTable]:
        """The models of the settings' own by name: their tables and the bundles."""
        bundles = {
            file.stem: ModelTable(source=f"bundle:{file.absolute()}") for file in self.bundle
        }
        return {**self.models, **bundles}

    @property
    def models_at_start(self) -> tuple[str, ...]:
        """Names of the models to load before the port is open."""
        return (*self.model, *(file.stem for file in self.bundle))
