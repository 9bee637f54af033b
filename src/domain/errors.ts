/**
 * The closed catalogue of errors. What happens next is decided by `kind`, never by message text:
 * `user` tell the human, one line, exit 2 · `transient` retry later · `permanent` keep the evidence and stop.
 */
export const ERRORS = {
  BAD_USAGE: "user",
  BAD_INPUT: "user",
  BAD_CONFIG: "user",
  BAD_REPO_CONFIG: "user",
  FILE_UNREADABLE: "user",
  MODEL_MISSING: "user",
  MODEL_REFUSED: "user",
  PORT_IN_USE: "user",
  DATABASE_UNUSABLE: "user",
  DATABASE_BUSY: "transient",
  FENCED: "permanent",
  GITHUB_TRANSIENT: "transient",
  GITHUB_RATE_LIMIT: "transient",
  GITHUB_UNAUTHORIZED: "transient",
  GITHUB_GONE: "permanent",
  GITHUB_CONFLICT: "permanent",
  GITHUB_REFUSED: "permanent",
  GENERATOR_TRANSIENT: "transient",
  GENERATOR_REFUSED: "permanent",
  GENERATOR_UNCONFIGURED: "user",
  BUDGET_SPENT: "permanent",
  REWARD_MODEL_FAILED: "permanent",
  WORKER_UNAVAILABLE: "transient",
  CHECKOUT_FAILED: "transient",
  SANDBOX_UNAVAILABLE: "user",
  REVIEW_FAILED: "permanent",
  TRAINING_FAILED: "permanent",
  MANIFEST_REFUSED: "user",
  REPLAY_DIFFERS: "permanent",
  INTERRUPTED: "permanent",
} as const satisfies Record<string, ErrorKind>;

export type ErrorKind = "user" | "transient" | "permanent";
export type ErrorCode = keyof typeof ERRORS;

/** `message` is one line: what, where, how to mend. It never holds a secret. `retryAfter` is in seconds. */
export class FunprmError extends Error {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly retryAfter: number | null;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryAfter?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "FunprmError";
    this.code = code;
    this.kind = ERRORS[code];
    this.retryAfter = options.retryAfter ?? null;
  }
}
