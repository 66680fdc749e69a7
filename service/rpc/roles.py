"""The least role that each method asks for: the one table. What a role may do, each above it may.

Who may name which model and data set, and what belongs to whom, is another matter, see
`service.auth.identity`.
"""

from collections.abc import Mapping

from service.auth.identity import Role

READ, COMPUTE, ADMIN = Role.READ, Role.COMPUTE, Role.ADMIN

# By service, by method. None: open to everyone who reaches the port.
TABLE: Mapping[str, Mapping[str, Role | None]] = {
    "striate.v1.ModelService": {
        "ListModels": READ,
        "GetModel": READ,
        "LoadModel": ADMIN,
        "UnloadModel": ADMIN,
        "ExportModel": ADMIN,  # whoever has the bundle has the weights
    },
    "striate.v1.InterpretService": {
        "Classify": READ,
        "RenderFilters": READ,
        "FindExemplars": READ,
        "GetUnitStatistics": READ,
        "ListDatasets": READ,
        "ReadSamples": READ,
        "GetActivations": COMPUTE,
        "Visualize": COMPUTE,
        "VisualizeLayer": COMPUTE,
        "FindFacets": COMPUTE,
        "MeasureTuning": COMPUTE,
        "Attribute": COMPUTE,
        "CompileDossier": COMPUTE,
        "BuildExemplarIndex": COMPUTE,
        "DeleteDataset": COMPUTE,  # of one's own
    },
    "striate.v1.RobustnessService": {
        "Attack": COMPUTE,
        "AttackStream": COMPUTE,
        "Audit": COMPUTE,
        "ReadAuditReport": READ,
        "UploadDataset": COMPUTE,
    },
    "striate.v1.UsageService": {"GetUsage": READ},  # one's own; admins that of others
    "google.longrunning.Operations": {
        "ListOperations": READ,
        "GetOperation": READ,
        "WaitOperation": READ,
        "CancelOperation": COMPUTE,  # one's own
        "DeleteOperation": COMPUTE,
    },
    # Probes come without keys: they are told no more than whether the server works.
    "grpc.health.v1.Health": {"Check": None, "Watch": None, "List": READ},
    "grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo": READ},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": READ},
}
_BY_PATH: Mapping[str, Role | None] = {
    f"/{service}/{method}": role
    for service, methods in TABLE.items()
    for method, role in methods.items()
}


def least_role(method: str) -> Role | None:
    """Tell what a method asks for.

    Args:
        method: its full name, "/package.Service/Method".

    Returns:
        The least role, None for everyone. For a method that is not in the table that of admins:
        what nobody has thought about is not given away.
    """
    return _BY_PATH.get(method, ADMIN)
