package io.disgateway.client;

import com.google.gson.Gson;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** Opens channels to a gateway. */
public final class Channels {
  private Channels() {}

  /**
   * A channel to {@code host:port} or {@code unix:///path}, without TLS: the gateway is in the same pod. It connects
   * with the first call, and again by itself when the gateway was away. Unix sockets need Linux on x86-64 or arm64.
   */
  public static ManagedChannelBuilder<?> to(String target) {
    return Grpc.newChannelBuilder(target, InsecureChannelCredentials.create())
        .proxyDetector(address -> null) // the JVM's proxy is not for what is beside us
        .maxInboundMessageSize(16 << 20); // a thousand checkpoints with long metadata are above 4 MiB
  }

  /**
   * The same with the recommended service config: a call waits for a gateway that is still starting, has ten seconds,
   * and is sent again where that helps.
   */
  public static ManagedChannelBuilder<?> withServiceConfig(String target) {
    return to(target).defaultServiceConfig(serviceConfig());
  }

  @SuppressWarnings("unchecked")
  private static Map<String, ?> serviceConfig() {
    try (var file = Channels.class.getResourceAsStream("/service-config.json");
        var reader = new InputStreamReader(file, StandardCharsets.UTF_8)) {
      return new Gson().fromJson(reader, Map.class);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
