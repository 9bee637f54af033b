/** `/runs/{id}`: opened by a signed, expiring link or the operator's token; unknown and forbidden look the same (rulings 25). */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { opensRun } from "../../domain/link.ts";
import type { Run } from "../../domain/run.ts";
import type { RunFile } from "../../domain/run-manifest.ts";
import { textsOf } from "../../flows/record-run.ts";
import type { RunStore } from "../../ports.ts";
import { renderRunPage } from "./run-page.ts";

export type RunPageOptions = {
  runs: RunStore;
  linkKey: string;
  operatorToken: string | null;
  /** The demo on loopback: no token is asked for. */
  open: boolean;
  now: () => Date;
};

export async function serveRunPage(
  options: RunPageOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const url = new URL(request.url ?? "/", "http://run.page");
  const match = /^\/runs\/([0-9A-Za-z]{1,40})(\/run\.json)?$/.exec(url.pathname);
  if (!match || request.method !== "GET") return false;
  const [, id, asFile] = match;
  const allowed =
    options.open ||
    opensRun(options.linkKey, id!, url.searchParams, options.now()) ||
    isOperator(options.operatorToken, request.headers.authorization);
  const run = allowed ? await options.runs.run(id!) : null;
  if (!run) return false;
  if (asFile !== undefined) return await serveRunFile(options.runs, run, response);
  const [candidates, events, effects] = await Promise.all([
    options.runs.candidates(run.id),
    options.runs.events(run.id),
    options.runs.effects(run.id),
  ]);
  const html = renderRunPage({ run, candidates: candidates.map((one) => one.candidate), events, effects });
  sendPage(response, html);
  return true;
}

/** What `funprm replay` takes; not there for a run that chose nothing, or whose texts are past their retention. */
async function serveRunFile(runs: RunStore, run: Run, response: ServerResponse): Promise<boolean> {
  // Runs of before 0.4 have no such field.
  if (!run.manifest || run.issue === null) return false;
  const candidates = (await runs.candidates(run.id)).map((one) => one.candidate);
  const file: RunFile = { ...run.manifest, texts: textsOf(run.issue, candidates, run.reproduction) };
  response.writeHead(200, {
    "content-type": "application/json; charset=utf-8",
    "content-disposition": `attachment; filename="run-${run.id}.json"`,
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  });
  response.end(`${JSON.stringify(file)}\n`);
  return true;
}

/** A self-contained page: no script, nothing loaded, not kept. */
export function sendPage(response: ServerResponse, html: string): void {
  response.writeHead(200, {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    // Styles of the page are inline, also on its cells; nothing else may load or run.
    "content-security-policy":
      "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  });
  response.end(html);
}

/** `Authorization: Bearer TOKEN`; compared by hash, so that its length says nothing. */
export function isOperator(token: string | null, header: string | undefined): boolean {
  if (token === null || !header?.startsWith("Bearer ")) return false;
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(header.slice("Bearer ".length)), digest(token));
}
