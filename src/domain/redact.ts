/** Takes secrets out of text that leaves the process: logs, comments, run records. */

/**
 * Each pattern is linear in the text: a match starts only at the beginning of a token, or always succeeds once begun.
 * GitHub's installation tokens have the form `ghs_APPID_JWT`, of no fixed length.
 */
const SHAPES: readonly RegExp[] = [
  /-----BEGIN [A-Z0-9 ]{1,40}-----[\s\S]*?(?:-----END [A-Z0-9 ]{1,40}-----|$)/g,
  /gh[pousr]_[A-Za-z0-9_.-]+/g,
  /github_pat_[A-Za-z0-9_]+/g,
  /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?/g,
  /(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{8,}/g,
  /(?<=\bbearer\s{1,4})[A-Za-z0-9._~+/=-]{8,}/gi,
  /(?<=:\/\/)[^\s/:@]{1,200}:[^\s/@]{1,400}(?=@)/g,
];

/** Replaces every secret by `[redacted]`: known shapes, and each of `secrets` (the operator's own) of 8 characters or more. */
export function redact(text: string, secrets: readonly string[] = []): string {
  let clean = text;
  for (const secret of secrets) if (secret.length >= 8) clean = clean.replaceAll(secret, "[redacted]");
  for (const shape of SHAPES) clean = clean.replace(shape, "[redacted]");
  return clean;
}
