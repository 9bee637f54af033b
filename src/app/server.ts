/** The HTTP server: webhooks through Probot, health, run pages. Small, bounded, drained on shutdown. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createNodeMiddleware, Probot } from "probot";
import { FunprmError } from "../domain/errors.ts";

/** GitHub never sends more (product.md 4.6). */
const MAX_BODY = 25 * 1024 * 1024;
/** GitHub gives up after ten seconds. */
const REQUEST_MS = 10_000;

export type ServerOptions = {
  appId: number;
  privateKey: string;
  webhookSecret: string;
  webhookPath: string;
  host: string;
  port: number;
  register: (app: Probot) => void;
  health: () => Promise<{ ok: boolean; [key: string]: unknown }>;
  /** Answers a page and says so; false = not its path. */
  page: (request: IncomingMessage, response: ServerResponse) => Promise<boolean>;
};

export type RunningServer = { url: string; close(): Promise<void> };

/** Listens, or throws `PORT_IN_USE` with the cure. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const probot = new Probot({
    appId: options.appId,
    privateKey: options.privateKey,
    secret: options.webhookSecret,
    logLevel: "fatal",
  });
  const webhooks = await createNodeMiddleware(options.register, { probot, webhooksPath: options.webhookPath });
  const server = createServer((request, response) => {
    answer(options, webhooks, request, response).catch(() => {
      if (!response.headersSent) response.writeHead(500).end();
    });
  });
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = REQUEST_MS;
  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        // Handlers that are at work may finish; a client that holds its connection open may not.
        setTimeout(() => server.closeAllConnections(), REQUEST_MS).unref();
      }),
  };
}

async function answer(
  options: ServerOptions,
  webhooks: Awaited<ReturnType<typeof createNodeMiddleware>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? "/").split("?")[0];
  if (path === "/healthz") {
    const health = await options.health();
    response
      .writeHead(health.ok ? 200 : 503, { "content-type": "application/json", "cache-control": "no-store" })
      .end(JSON.stringify(health));
    return;
  }
  if (request.method === "POST") {
    // A hook set up without a path arrives at `/` (product.md, pain 23).
    if (path === "/") request.url = options.webhookPath;
    if (tooLarge(request)) {
      response.writeHead(413, { connection: "close" }).end('{"error":"payload too large"}');
      return;
    }
    cut(request);
    await webhooks(request, response, () => void response.writeHead(404).end());
    return;
  }
  if (await options.page(request, response)) return;
  response.writeHead(404, { "content-type": "text/plain" }).end("Not Found\n");
}

function tooLarge(request: IncomingMessage): boolean {
  return Number(request.headers["content-length"] ?? 0) > MAX_BODY;
}

/** A body without a length is counted while it comes. */
function cut(request: IncomingMessage): void {
  if (request.headers["content-length"] !== undefined) return;
  let size = 0;
  request.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > MAX_BODY) request.destroy();
  });
}

function listen(server: Server, { host, port }: ServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why =
        error.code === "EADDRINUSE"
          ? `${host}:${port} is in use; stop the other program or set PORT to a free one`
          : `cannot listen on ${host}:${port} (${error.code}); check HOST and PORT`;
      reject(new FunprmError("PORT_IN_USE", why));
    });
    server.listen(port, host, resolve);
  });
}
