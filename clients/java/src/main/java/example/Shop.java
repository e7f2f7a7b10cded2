package example;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import qianmian.v1.Event;
import qianmian.v1.EventKind;
import qianmian.v1.EventServiceGrpc;
import qianmian.v1.RecommendRequest;
import qianmian.v1.RecommendResponse;
import qianmian.v1.RecommendationServiceGrpc;
import qianmian.v1.ScoredItem;
import qianmian.v1.WriteEventsRequest;
import qianmian.v1.WriteEventsResponse;

/**
 * Reports a purchase and prints the list that follows it: {@code Shop [SERVER [USER [ITEM]]]}. SERVER
 * is HOST:PORT, or https://HOST:PORT for TLS; the key is that of the variable QIANMIAN_KEY.
 */
public final class Shop {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** An event with an id is recorded once, however often it is sent. */
  private static final Map<String, Object> RETRIES =
      Map.of(
          "methodConfig",
          List.of(
              Map.of(
                  "name",
                  List.of(
                      Map.of("service", RecommendationServiceGrpc.SERVICE_NAME),
                      Map.of("service", EventServiceGrpc.SERVICE_NAME)),
                  "retryPolicy",
                  Map.of(
                      "maxAttempts", 5.0,
                      "initialBackoff", "0.25s",
                      "maxBackoff", "5s",
                      "backoffMultiplier", 3.0,
                      "retryableStatusCodes", List.of("UNAVAILABLE")))));

  private Shop() {}

  public static void main(String[] arguments) throws Exception {
    String server = arguments.length > 0 ? arguments[0] : "127.0.0.1:50051";
    String user = arguments.length > 1 ? arguments[1] : "anna";
    String item = arguments.length > 2 ? arguments[2] : "22423";

    boolean encrypted = server.startsWith("https://");
    String key = System.getenv().getOrDefault("QIANMIAN_KEY", "");
    if (!key.isEmpty() && !encrypted && !server.matches("(127\\.[0-9.]+|localhost|\\[::1]):.*")) {
      throw new IllegalArgumentException(server + " is not encrypted: give https:// to send a key");
    }
    ChannelCredentials credentials =
        encrypted ? TlsChannelCredentials.create() : InsecureChannelCredentials.create();
    ManagedChannel channel =
        Grpc.newChannelBuilder(server.replaceFirst("^https://", ""), credentials)
            .defaultServiceConfig(RETRIES)
            .enableRetry()
            .intercept(MetadataUtils.newAttachHeadersInterceptor(carried(key)))
            .build();
    try {
      write(channel, user, item);
      print(channel, user);
    } finally {
      channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  /** What every call carries. */
  private static Metadata carried(String key) {
    Metadata metadata = new Metadata();
    if (!key.isEmpty()) {
      metadata.put(AUTHORIZATION, "Bearer " + key);
    }
    return metadata;
  }

  private static void write(ManagedChannel channel, String user, String item) {
    Event event =
        Event.newBuilder()
            .setEventId(UUID.randomUUID().toString())
            .setKind(EventKind.EVENT_KIND_PURCHASE)
            .setUserId(user)
            .setItemId(item)
            .build();
    WriteEventsResponse written =
        EventServiceGrpc.newBlockingStub(channel)
            .withDeadlineAfter(10, TimeUnit.SECONDS)
            .writeEvents(WriteEventsRequest.newBuilder().addEvents(event).build());
    written
        .getErrorsList()
        .forEach(
            error -> {
              throw new IllegalArgumentException(error.getField() + ": " + error.getMessage());
            });
  }

  private static void print(ManagedChannel channel, String user) {
    RecommendResponse answer =
        RecommendationServiceGrpc.newBlockingStub(channel)
            .withDeadlineAfter(10, TimeUnit.SECONDS)
            .recommend(RecommendRequest.newBuilder().setUserId(user).setLimit(5).build());
    for (ScoredItem entry : answer.getItemsList()) {
      System.out.printf("%s %.4f %s%n", entry.getItemId(), entry.getScore(), entry.getSource());
    }
  }
}
