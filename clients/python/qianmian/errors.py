"""What a server refuses, and why."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class Refused(Exception):
    """The server refused a request, or could not be reached.

    Attributes:
        code: the gRPC status code.
        reason: a stable word, as "NOT_READY" or "QUOTA_EXCEEDED"; empty where there is none.
        violations: the fields that break a limit, each with its words.
        checks: of a model that did not pass the gate, every check's words by its name.
        retry_after: seconds after which a retry may succeed, where the server says so.
        shard: with "OTHER_SHARD": the number of the user's shard, and the number of shards.
    """

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(error.details())
        self.code: grpc.StatusCode = error.code()
        self.reason = ""
        self.violations: list[tuple[str, str]] = []
        self.checks: dict[str, str] = {}
        self.retry_after: float | None = None
        self.shard: tuple[int, int] | None = None

        status = rpc_status.from_call(error)
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        for detail in status.details if status else ():
            if detail.Unpack(info):
                self.reason = info.reason
                if info.reason == "MODEL_REFUSED":
                    self.checks = dict(info.metadata)
                elif info.reason == "OTHER_SHARD":
                    self.shard = (int(info.metadata["shard"]), int(info.metadata["shards"]))
            elif detail.Unpack(request):
                self.violations = [(v.field, v.description) for v in request.field_violations]
            elif detail.Unpack(retry):
                self.retry_after = retry.retry_delay.ToTimedelta().total_seconds()
