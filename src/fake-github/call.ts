/** One API call on its way through a handler, and the replies that handlers give. */
import type { World } from "./state.ts";
import type { Caller, Repo } from "./types.ts";

// biome-ignore lint/suspicious/noExplicitAny: checked against the API description before a handler sees it
export type Body = Record<string, any>;

export type Call = {
  world: World;
  caller: Caller;
  /** Login that the effects of the call are written under. */
  actor: string;
  params: Record<string, string>;
  query: URLSearchParams;
  body: Body;
  accept: string;
  url: URL;
};

export type Reply = {
  status: number;
  body?: unknown;
  raw?: { type: string; bytes: Uint8Array };
  headers?: Record<string, string>;
};

export type Handler = (call: Call) => Reply | Promise<Reply>;

export function ok(body: unknown, headers?: Record<string, string>): Reply {
  return headers === undefined ? { status: 200, body } : { status: 200, body, headers };
}

export function created(body: unknown): Reply {
  return { status: 201, body };
}

export function repoOf(call: Call): Repo {
  return call.world.repo(call.params["owner"]!, call.params["repo"]!);
}

/** One page of a list and the Link header that Octokit's paginate follows. */
export function page<T>(call: Call, items: T[], limit = 100): { items: T[]; headers: Record<string, string> } {
  const size = Math.min(limit, Math.max(1, Number(call.query.get("per_page") ?? 30)));
  const at = Math.max(1, Number(call.query.get("page") ?? 1));
  const last = Math.max(1, Math.ceil(items.length / size));
  const link = (target: number, rel: string) => {
    const url = new URL(call.url);
    url.searchParams.set("page", String(target));
    return `<${url.href}>; rel="${rel}"`;
  };
  const links = [
    ...(at > 1 ? [link(at - 1, "prev"), link(1, "first")] : []),
    ...(at < last ? [link(at + 1, "next"), link(last, "last")] : []),
  ];
  return {
    items: items.slice((at - 1) * size, at * size),
    headers: links.length === 0 ? {} : { link: links.join(", ") },
  };
}

export function listReply<T>(call: Call, items: T[], view: (item: T) => unknown): Reply {
  const { items: shown, headers } = page(call, items);
  return ok(shown.map(view), headers);
}
