import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpServer;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.message.MessageWriter;
import io.cloudevents.http.HttpMessageFactory;
import java.io.File;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.OffsetDateTime;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.Executors;

/** The CloudEvents SDK for Java as a peer: "send URL MODE" posts the events of vectors.json, "receive PORT FILE" writes down
 * what the SDK reads of what is posted to it. */
public class Peer {
  static final ObjectMapper JSON = new ObjectMapper();

  static CloudEvent build(JsonNode vector) {
    CloudEventBuilder builder = CloudEventBuilder.v1();
    vector.get("attributes").fields().forEachRemaining(e -> {
      String value = e.getValue().asText();
      switch (e.getKey()) {
        case "id" -> builder.withId(value);
        case "source" -> builder.withSource(URI.create(value));
        case "type" -> builder.withType(value);
        case "subject" -> builder.withSubject(value);
        case "time" -> builder.withTime(OffsetDateTime.parse(value));
        case "dataschema" -> builder.withDataSchema(URI.create(value));
        case "datacontenttype" -> builder.withDataContentType(value);
        default -> builder.withExtension(e.getKey(), value);
      }
    });
    if (!vector.get("data").isNull()) {
      builder.withData(Base64.getDecoder().decode(vector.get("data").asText()));
    }
    return builder.build();
  }

  static void send(String url, String mode) throws Exception {
    HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    for (JsonNode vector : JSON.readTree(new File("docs/interop/sdks/vectors.json"))) {
      try {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url));
        MessageWriter<?, ?> writer = HttpMessageFactory.createWriter(request::header, body ->
            request.POST(body == null ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofByteArray(body)));
        if (mode.equals("binary")) {
          writer.writeBinary(build(vector));
        } else {
          writer.writeStructured(build(vector), "application/cloudevents+json");
        }
        HttpResponse<String> response = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() / 100 != 2) {
          throw new Exception(response.statusCode() + " " + response.body());
        }
      } catch (Exception e) {
        System.err.println("java cannot send " + vector.get("name").asText() + ": " + e);
      }
    }
  }

  static ObjectNode read(Map<String, java.util.List<String>> headers, byte[] body) {
    CloudEvent event = HttpMessageFactory.createReaderFromMultimap(headers, body).toEvent();
    ObjectNode line = JSON.createObjectNode();
    ObjectNode attributes = line.putObject("attributes");
    for (String name : event.getAttributeNames()) {
      if (event.getAttribute(name) != null) {
        attributes.put(name, event.getAttribute(name).toString());
      }
    }
    for (String name : event.getExtensionNames()) {
      attributes.put(name, event.getExtension(name).toString());
    }
    byte[] data = event.getData() == null ? null : event.getData().toBytes();
    line.put("data", data == null || data.length == 0 ? null : Base64.getEncoder().encodeToString(data));
    return line;
  }

  static void receive(String port, String file) throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(port)), 0);
    server.setExecutor(Executors.newFixedThreadPool(1));
    server.createContext("/", exchange -> {
      byte[] body = exchange.getRequestBody().readAllBytes();
      ObjectNode line;
      try {
        line = read(exchange.getRequestHeaders(), body);
      } catch (Exception e) {
        line = JSON.createObjectNode().put("error", e.toString());
      }
      Files.writeString(Path.of(file), line + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
      exchange.sendResponseHeaders(202, -1);
      exchange.close();
    });
    server.start();
  }

  public static void main(String[] args) throws Exception {
    if (args[0].equals("send")) {
      send(args[1], args[2]);
    } else {
      receive(args[1], args[2]);
    }
  }
}
