"""Asks a server for everything it needs to be asked: usage client.py ADDRESS.

Leaves with 77 where Python lacks grpcio, grpcio-reflection or protobuf.
"""
import sys

try:
    import grpc
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )
except ImportError as missing:
    print(f"python lacks {missing.name}: pip install grpcio grpcio-reflection", file=sys.stderr)
    sys.exit(77)


def main(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        for name in ("Recommendation", "Event", "Catalog", "Model"):
            assert f"qianmian.v1.{name}Service" in services, services
        assert "grpc.health.v1.Health" in services, services
        pool = DescriptorPool(database)
        service = pool.FindServiceByName("qianmian.v1.RecommendationService")
        method = service.FindMethodByName("Recommend")
        request = GetMessageClass(method.input_type)
        response = GetMessageClass(method.output_type)
        recommend = channel.unary_unary(
            f"/{service.full_name}/{method.name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        answer = recommend(request(user_id="u", limit=5), timeout=10)
        assert [item.item_id for item in answer.items] == ["茶"], answer
        assert answer.generation == 1 and answer.recommendation_id, answer
        try:
            recommend(request(user_id="u", limit=1000), timeout=10)
        except grpc.RpcError as refused:
            assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT, refused
            assert "limit: must be 1 to 500, was 1000" in refused.details(), refused
            # What the details are made of is served too, so that grpcurl prints them.
            status = GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))
            bad = GetMessageClass(pool.FindMessageTypeByName("google.rpc.BadRequest"))
            trailers = dict(refused.trailing_metadata())
            details = status.FromString(trailers["grpc-status-details-bin"]).details
            packed = [any.value for any in details if any.type_url.endswith("google.rpc.BadRequest")]
            assert bad.FromString(packed[0]).field_violations[0].field == "limit", details
        else:
            raise AssertionError("a limit of 1000 was taken")


main(sys.argv[1])
