/**
 * The one way to GitHub's API: `@octokit/rest` built once with our retry and throttle settings, tokens narrowed to one
 * repository and to what a call needs, writes paced and never repeated by themselves.
 */
import { createAppAuth } from "@octokit/auth-app";
import { retry } from "@octokit/plugin-retry";
import { throttling } from "@octokit/plugin-throttling";
import { Octokit } from "@octokit/rest";
import { FunprmError } from "../../domain/errors.ts";
import type { Clock, RepoRef } from "../../ports.ts";
import { createPacer, GITHUB_PACING, type PacingLimits } from "./pacing.ts";
import { statusOf, toFunprmError } from "./refusal.ts";

export type GitHubOptions = {
  appId: number;
  /** PEM. */
  privateKey: string;
  /** `https://api.github.com`, or `https://HOST/api/v3` of an Enterprise Server. */
  baseUrl: string;
  clock: Clock;
  pacing?: PacingLimits;
  /** For one request, its answer read to the end. */
  timeoutMs?: number;
  /** Base of the waits between repeated reads: 1, 4 and 9 times this. */
  retryBaseMs?: number;
};

const TIMEOUT_MS = 20_000;
const READ_RETRIES = 3;
const MOST_REDIRECTS = 3;

/** Least permissions of each kind of token (product.md 4.7, 4.8). */
const PERMISSIONS = {
  checkout: { contents: "read" },
  read: { contents: "read", issues: "read", pull_requests: "read", checks: "read", metadata: "read" },
  write: { contents: "read", issues: "write", pull_requests: "write", checks: "write" },
  // What an installation of app.review-only.yml does not grant. GitHub asks for it also to resolve a review thread.
  push: { contents: "write", pull_requests: "write" },
  actions: { actions: "read" },
} as const;
export type Access = keyof typeof PERMISSIONS;

/** Parameters that every call carries: the token, and how often it may be repeated. */
export type CallParameters = { headers: { authorization: string }; request: { retries?: number } };

export type GitHubClient = {
  readonly octokit: Octokit;
  /** Reads with a read-only token; repeated on 5xx. `what` is for the error. */
  read<T>(ref: RepoRef, what: string, call: (parameters: CallParameters) => Promise<T>): Promise<T>;
  /** The same of workflow runs, with a token for nothing else; `GITHUB_GONE` where the installation does not grant it. */
  actions<T>(ref: RepoRef, what: string, call: (parameters: CallParameters) => Promise<T>): Promise<T>;
  /** Writes once, with the write token, when the installation's next slot comes. */
  write<T>(ref: RepoRef, what: string, call: (parameters: CallParameters) => Promise<T>): Promise<T>;
  /** The same with a token that may change contents; `GITHUB_GONE` where the installation does not grant it. */
  push<T>(ref: RepoRef, what: string, call: (parameters: CallParameters) => Promise<T>): Promise<T>;
  /** As the app itself. */
  asApp<T>(what: string, call: (parameters: CallParameters) => Promise<T>): Promise<T>;
  /** As the installation, of all that it reaches; reads only. */
  asInstallation<T>(installationId: number, what: string, call: (parameters: CallParameters) => Promise<T>): Promise<T>;
  token(ref: RepoRef, access: Access): Promise<string>;
  /** Login of the app's own user, `SLUG[bot]`. */
  botLogin(): Promise<string>;
};

export function createGitHubClient(options: GitHubOptions): GitHubClient {
  const { clock } = options;
  const pacer = createPacer(clock, options.pacing ?? GITHUB_PACING);
  const octokit = buildOctokit(options);
  const auth = createAppAuth({ appId: options.appId, privateKey: options.privateKey, request: octokit.request });
  const mapped = (error: unknown, what: string) => toFunprmError(error, what, clock.now().getTime());

  async function token(ref: RepoRef, access: Access, refresh = false): Promise<string> {
    try {
      const answer = await auth({
        type: "installation",
        installationId: ref.installationId,
        repositoryIds: [ref.repositoryId],
        permissions: { ...PERMISSIONS[access] },
        refresh,
      });
      return answer.token;
    } catch (error) {
      const refusal = mapped(error, `token for ${ref.owner}/${ref.repo}`);
      // 422 here says that the installation does not reach the repository: deleted, transferred, or taken from the app.
      throw statusOf(refusal) === 422 ? new FunprmError("GITHUB_GONE", refusal.message, { cause: error }) : refusal;
    }
  }

  async function attempt<T>(
    ref: RepoRef,
    access: Access,
    what: string,
    call: (parameters: CallParameters) => Promise<T>,
  ): Promise<T> {
    const where = `${what} in ${ref.owner}/${ref.repo}`;
    const writes = access === "write" || access === "push";
    const once = async (refresh: boolean) => {
      pacer.check(ref.installationId);
      const parameters = {
        headers: { authorization: `token ${await token(ref, access, refresh)}` },
        // A number here would be repeated whatever GitHub answered: reads rest on the plugin's own count and its list.
        request: writes ? { retries: 0 } : {},
      };
      if (writes) await pacer.write(ref.installationId);
      try {
        return await call(parameters);
      } catch (error) {
        throw mapped(error, where);
      }
    };
    try {
      // A token can be revoked before its hour is over: once more with a new one (security.md 5).
      return await once(false).catch((error: unknown) => {
        if (statusOf(error) === 401) return once(true);
        throw error;
      });
    } catch (error) {
      if (error instanceof FunprmError && error.code === "GITHUB_RATE_LIMIT" && error.cause)
        pacer.pause(ref.installationId, error.retryAfter ?? 60);
      throw error;
    }
  }

  async function asApp<T>(what: string, call: (parameters: CallParameters) => Promise<T>): Promise<T> {
    try {
      const { token: jwt } = await auth({ type: "app" });
      return await call({ headers: { authorization: `bearer ${jwt}` }, request: {} });
    } catch (error) {
      throw mapped(error, what);
    }
  }

  async function asInstallation<T>(
    installationId: number,
    what: string,
    call: (parameters: CallParameters) => Promise<T>,
  ): Promise<T> {
    try {
      const { token: own } = await auth({ type: "installation", installationId, permissions: { metadata: "read" } });
      return await call({ headers: { authorization: `token ${own}` }, request: {} });
    } catch (error) {
      throw mapped(error, `${what} of installation ${installationId}`);
    }
  }

  let login: Promise<string> | null = null;
  function botLogin(): Promise<string> {
    login ??= asApp("read the app", async (parameters) => {
      const { data } = await octokit.rest.apps.getAuthenticated(parameters);
      return `${data?.slug}[bot]`;
    });
    login.catch(() => {
      login = null;
    });
    return login;
  }

  return {
    octokit,
    read: (ref, what, call) => attempt(ref, "read", what, call),
    actions: (ref, what, call) => attempt(ref, "actions", what, call),
    write: (ref, what, call) => attempt(ref, "write", what, call),
    push: (ref, what, call) => attempt(ref, "push", what, call),
    asApp,
    asInstallation,
    token,
    botLogin,
  };
}

function buildOctokit(options: GitHubOptions): Octokit {
  const Client = Octokit.plugin(retry, throttling);
  // The plugin's own spacing knows neither installations nor the limits of a minute and an hour: ours does that part.
  const paced = { key: () => ({ schedule: (_: unknown, run: () => unknown) => run() }) } as never;
  return new Client({
    baseUrl: options.baseUrl.replace(/\/+$/, ""),
    userAgent: "funprm",
    request: { fetch: boundedFetch(options.baseUrl, options.timeoutMs ?? TIMEOUT_MS) },
    retry: {
      retries: READ_RETRIES,
      doNotRetry: [400, 401, 403, 404, 409, 410, 422, 429, 451],
      retryAfterBaseValue: options.retryBaseMs ?? 1_000,
    },
    // Limits surface to the job queue, which waits without holding anything; nothing is repeated here.
    throttle: { write: paced, notifications: paced, onRateLimit: () => false, onSecondaryRateLimit: () => false },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
}

/**
 * fetch that ends at the time limit including the body (octokit would take a cut JSON body for an empty answer), and
 * follows redirects (renamed repositories) only to the same origin: the token goes nowhere else.
 */
function boundedFetch(baseUrl: string, timeoutMs: number): typeof fetch {
  const origin = new URL(baseUrl).origin;
  return async (input, init) => {
    const signal = AbortSignal.timeout(timeoutMs);
    let url = String(input);
    for (let hop = 0; ; hop += 1) {
      const answer = await fetch(url, { ...init, signal, redirect: "manual" });
      const location = answer.headers.get("location");
      // Whoever asks for this reads the address, and goes there without the token.
      if (init?.redirect === "manual" && location !== null) {
        await answer.body?.cancel();
        return new Response(null, { status: answer.status, headers: answer.headers });
      }
      const keepsMethod = answer.status === 307 || answer.status === 308;
      const moved = keepsMethod || ((answer.status === 301 || answer.status === 302) && init?.method === "GET");
      if (moved && location && hop < MOST_REDIRECTS && new URL(location, url).origin === origin) {
        await answer.arrayBuffer();
        url = new URL(location, url).href;
        continue;
      }
      const body = await answer.arrayBuffer();
      if (answer.status >= 300 && answer.status < 400 && answer.status !== 304)
        throw new TypeError(`refused to follow a redirect (${answer.status})`);
      const empty = [204, 205, 304].includes(answer.status);
      const whole = new Response(empty ? null : body, { status: answer.status, headers: answer.headers });
      // octokit reads the page of a list from the address, which a Response made by hand does not have.
      return Object.defineProperty(whole, "url", { value: url });
    }
  };
}
