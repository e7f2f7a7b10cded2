/**
 * Client of the Qianmian recommendation engine, for browsers and Node.js, by gRPC-Web.
 *
 * ```ts
 * const shop = connect("http://127.0.0.1:50051");
 * const { items } = await shop.recommendations.recommend({ userId: "12583", limit: 5 });
 * ```
 *
 * Every service of the protocol is a client with its methods; server streams are async iterables. A
 * browser sends no streams of its own: `streamEvents` and `pushModel` are for other clients.
 *
 * @packageDocumentation
 */

import { type Client, Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { CatalogService } from "./gen/qianmian/v1/catalog_pb.js";
import { EventService } from "./gen/qianmian/v1/event_pb.js";
import { KeyService } from "./gen/qianmian/v1/key_pb.js";
import { ModelService } from "./gen/qianmian/v1/model_pb.js";
import { ExperimentService, ReportService } from "./gen/qianmian/v1/experiment_pb.js";
import { InsightService } from "./gen/qianmian/v1/insight_pb.js";
import { PlacementService } from "./gen/qianmian/v1/placement_pb.js";
import { RecommendationService } from "./gen/qianmian/v1/recommendation_pb.js";
import { RuleService } from "./gen/qianmian/v1/rule_pb.js";
import { StoreService } from "./gen/qianmian/v1/store_pb.js";
import { UserService } from "./gen/qianmian/v1/user_pb.js";

export * from "./gen/qianmian/v1/catalog_pb.js";
export * from "./gen/qianmian/v1/event_pb.js";
export * from "./gen/qianmian/v1/key_pb.js";
export * from "./gen/qianmian/v1/model_pb.js";
export * from "./gen/qianmian/v1/placement_pb.js";
export * from "./gen/qianmian/v1/recommendation_pb.js";
export * from "./gen/qianmian/v1/rule_pb.js";
export * from "./gen/qianmian/v1/store_pb.js";
export * from "./gen/qianmian/v1/user_pb.js";
export { Code, ConnectError };

/** How a server is called. */
export interface Options {
  /**
   * The API key. A page shows it to everyone who opens the page: give it the scopes `read` and
   * `events` at most.
   */
  key?: string;
  /** The store, where the key opens more than one or the server has no keys. */
  store?: string;
  /** Milliseconds after which a call is given up, retries included; streams have no limit. */
  timeoutMs?: number;
  /** Tries of a call that meets an unavailable server, unless a second one could do something else. */
  attempts?: number;
}

/** A server's services. */
export interface Qianmian {
  readonly recommendations: Client<typeof RecommendationService>;
  readonly events: Client<typeof EventService>;
  readonly catalog: Client<typeof CatalogService>;
  readonly users: Client<typeof UserService>;
  readonly rules: Client<typeof RuleService>;
  readonly placements: Client<typeof PlacementService>;
  readonly experiments: Client<typeof ExperimentService>;
  readonly reports: Client<typeof ReportService>;
  readonly insight: Client<typeof InsightService>;
  readonly models: Client<typeof ModelService>;
  readonly keys: Client<typeof KeyService>;
  readonly stores: Client<typeof StoreService>;
}

/** Milliseconds of the first pause between two tries; each further one is twice as long. */
const FIRST_PAUSE = 100;
/** Methods of which a second call does something else, or fails because the first succeeded. */
const NEVER_RETRIED = new Set([
  "AdoptVariant",
  "ApplyInsightSettings",
  "ApplyPlacements",
  "ApplyRules",
  "CreateKey",
  "CreateStore",
  "DeleteExperiment",
  "DeleteItem",
  "DeleteModel",
  "DeleteStore",
  "DeleteUser",
  "DeleteUserTag",
  "PushModel",
  "RollbackInsightSettings",
  "RollbackModel",
  "RollbackPlacements",
  "RollbackRules",
  "StartExperiment",
  "StopExperiment",
  "Train",
]);

/**
 * Calls the server at a URL, as `https://shop.example:50051`. In a browser the server must allow the
 * page's origin (`serve.browsers.allowed_origins`).
 *
 * @throws Error where a key would be sent in plain text to another machine.
 */
export function connect(baseUrl: string, options: Options = {}): Qianmian {
  if (options.key && !mayCarryKey(new URL(baseUrl))) {
    throw new Error(`${baseUrl} is not encrypted: give https:// to send a key`);
  }
  const interceptors = [named, retried(options.attempts ?? 4), carrying(options)];
  const defaultTimeoutMs = options.timeoutMs ?? 10_000;
  const { unary } = createGrpcWebTransport({ baseUrl, interceptors, defaultTimeoutMs });
  // A stream lasts as long as it has something to say.
  const { stream } = createGrpcWebTransport({ baseUrl, interceptors });
  const transport: Transport = { unary, stream };
  return {
    recommendations: createClient(RecommendationService, transport),
    events: createClient(EventService, transport),
    catalog: createClient(CatalogService, transport),
    users: createClient(UserService, transport),
    rules: createClient(RuleService, transport),
    placements: createClient(PlacementService, transport),
    experiments: createClient(ExperimentService, transport),
    reports: createClient(ReportService, transport),
    insight: createClient(InsightService, transport),
    models: createClient(ModelService, transport),
    keys: createClient(KeyService, transport),
    stores: createClient(StoreService, transport),
  };
}

/** Gives events an id where they have none, by which the server knows a retry. */
const named: Interceptor = (next) => (request) => {
  if (!request.stream && request.method.name === "WriteEvents") {
    const { events } = request.message as unknown as { events: { eventId: string }[] };
    for (const event of events) event.eventId ||= identifier();
  }
  return next(request);
};

/** A random id. `crypto.randomUUID` is there on pages of https and localhost only. */
function identifier(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether a key may be sent: encrypted, or to this machine. */
function mayCarryKey({ protocol, hostname }: URL): boolean {
  return protocol === "https:" || hostname === "localhost" || hostname === "[::1]" || /^127\.[\d.]+$/.test(hostname);
}

/** What every call carries. */
function carrying({ key, store }: Options): Interceptor {
  return (next) => (request) => {
    if (key) request.header.set("authorization", `Bearer ${key}`);
    if (store) request.header.set("store", store);
    return next(request);
  };
}

/** Tries a call again that met an unavailable server, after a pause of random length. */
function retried(attempts: number): Interceptor {
  return (next) => async (request) => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await next(request);
      } catch (error) {
        const { code } = ConnectError.from(error);
        const isFinal = attempt >= attempts || request.stream || NEVER_RETRIED.has(request.method.name);
        if (isFinal || request.signal.aborted || !(code === Code.Unavailable || isUnreached(error))) {
          throw error;
        }
        const longest = FIRST_PAUSE * 2 ** attempt;
        await new Promise((resolve) => setTimeout(resolve, longest * (0.5 + Math.random() / 2)));
      }
    }
  };
}

/** Whether no answer came at all, which browsers and Node.js report as a failed fetch. */
function isUnreached(error: unknown): boolean {
  return error instanceof TypeError || (error instanceof ConnectError && error.cause instanceof TypeError);
}
