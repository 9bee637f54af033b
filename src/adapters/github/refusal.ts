/** What GitHub answered, as one of our errors. By status and structured fields; text only where GitHub gives nothing else. */
import { FunprmError } from "../../domain/errors.ts";

type Failure = {
  status?: number;
  message?: string;
  response?: { headers?: Record<string, string | number | undefined>; data?: unknown };
  /** Of a GraphQL answer. */
  errors?: { type?: string; message?: string }[];
  headers?: Record<string, string | undefined>;
};

/** Wait that GitHub asks for when it names none (product.md 4.7). */
const DEFAULT_WAIT_SECONDS = 60;

/** `what` says what was tried, as in `open pull request in octo/repo`. */
export function toFunprmError(error: unknown, what: string, now: number): FunprmError {
  if (error instanceof FunprmError) return error;
  const failure = (error ?? {}) as Failure;
  if (failure.errors) return fromGraphql(failure, what);
  const status = failure.status ?? 0;
  const headers = failure.response?.headers ?? {};
  const options = { cause: error };
  const said = (reason: string) => `${what}: ${reason}`;
  const wait = rateLimitWait(status, headers, failure, now);
  if (wait !== null)
    return new FunprmError("GITHUB_RATE_LIMIT", said(`GitHub limits this installation, wait ${wait} s`), {
      ...options,
      retryAfter: wait,
    });
  // A request that never got an answer carries status 500 of octokit's own making, and no response.
  if (!failure.response || status >= 500 || status < 400) {
    const reason = failure.response
      ? `GitHub answered ${status}`
      : `no answer from GitHub (${oneLine(failure.message)})`;
    return new FunprmError("GITHUB_TRANSIENT", said(reason), options);
  }
  const detail = oneLine(bodyMessage(failure.response.data) ?? failure.message);
  if (status === 401) return new FunprmError("GITHUB_UNAUTHORIZED", said(`token refused (${detail})`), options);
  if (status === 404 || status === 410 || status === 451)
    return new FunprmError("GITHUB_GONE", said(`not there, or not visible to the app (${status})`), options);
  if (status === 409) return new FunprmError("GITHUB_CONFLICT", said(`${detail} (409)`), options);
  const needed = headers["x-accepted-github-permissions"];
  const cure = status === 403 && needed ? `; grant the app ${needed} and accept it on the installation` : "";
  return new FunprmError("GITHUB_REFUSED", said(`${detail} (${status})${cure}`), options);
}

function fromGraphql(failure: Failure, what: string): FunprmError {
  const first = failure.errors?.[0] ?? {};
  const detail = `${what}: ${oneLine(first.message)}`;
  const options = { cause: failure };
  switch (first.type) {
    case "STALE_DATA":
      return new FunprmError("GITHUB_CONFLICT", detail, options);
    case "NOT_FOUND":
      return new FunprmError("GITHUB_GONE", detail, options);
    case "RATE_LIMITED":
      return new FunprmError("GITHUB_RATE_LIMIT", detail, {
        ...options,
        retryAfter: Number(failure.headers?.["retry-after"]) || DEFAULT_WAIT_SECONDS,
      });
    // GitHub's own failures come as an error without a type, in an answer 200.
    case undefined:
      return new FunprmError("GITHUB_TRANSIENT", detail, options);
    default:
      return new FunprmError("GITHUB_REFUSED", `${detail} (${first.type})`, options);
  }
}

/** Seconds to wait when the answer is a rate limit, primary or secondary; else null. */
function rateLimitWait(
  status: number,
  headers: Record<string, string | number | undefined>,
  failure: Failure,
  now: number,
): number | null {
  if (status !== 403 && status !== 429) return null;
  const told = Number(headers["retry-after"]);
  if (told > 0) return told;
  if (String(headers["x-ratelimit-remaining"]) === "0") {
    const left = Number(headers["x-ratelimit-reset"]) - now / 1_000;
    return left > 0 ? Math.ceil(left) + 1 : DEFAULT_WAIT_SECONDS;
  }
  // Some secondary limits come as a 403 that only its documentation link and text tell from a missing permission.
  const data = failure.response?.data as { documentation_url?: string } | undefined;
  const text = `${data?.documentation_url ?? ""} ${failure.message ?? ""}`;
  return status === 429 || /secondary.rate.limit/i.test(text) ? DEFAULT_WAIT_SECONDS : null;
}

/** HTTP status behind one of our errors; null when there was no answer. */
export function statusOf(error: unknown): number | null {
  const cause = error instanceof FunprmError ? (error.cause as Failure | undefined) : undefined;
  return cause?.response ? (cause.status ?? null) : null;
}

/** Whether the write may have happened all the same, or happened before: look again before anything else. */
export function mayHaveHappened(error: unknown): boolean {
  if (!(error instanceof FunprmError)) return false;
  return error.code === "GITHUB_TRANSIENT" || error.code === "GITHUB_CONFLICT" || statusOf(error) === 422;
}

function bodyMessage(data: unknown): string | null {
  if (typeof data !== "object" || data === null || !("message" in data)) return null;
  const { message, errors } = data as { message: unknown; errors?: unknown };
  const details = Array.isArray(errors) ? errors.slice(0, 3).map(fieldError).filter(Boolean) : [];
  return [String(message), ...details].join("; ");
}

function fieldError(error: unknown): string {
  if (typeof error === "string") return error;
  const { message, resource, field, code } = (error ?? {}) as Record<string, unknown>;
  return String(message ?? [resource, field, code].filter(Boolean).join(" "));
}

function oneLine(text: string | undefined): string {
  return (text ?? "no reason given").replace(/\s+/g, " ").trim().slice(0, 300);
}
