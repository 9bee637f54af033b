/**
 * Patch rules (security.md section 4): what a candidate may touch, decided before anything is applied or run. Each refusal
 * begins with the name of its rule.
 */
import type { ChangedFile } from "./candidate.ts";
import { hiddenCharacter, isInvisible } from "./issue-text.ts";

export const PATCH_BYTES_LIMIT = 256 * 1024;
export const PATCH_FILES_LIMIT = 50;

export type PatchPolicy = {
  /** Globs of the base branch's configuration. */
  blockedPaths: string[];
  allowedPaths: string[];
  matches(glob: string, path: string): boolean;
};

/** Compared in lower case: some file systems do not tell `.GitHub` from `.github`. */
const FORBIDDEN_FOLDERS = new Set([
  ".git",
  ".github",
  ".gitlab",
  ".circleci",
  ".buildkite",
  ".husky",
  ".githooks",
  ".devcontainer",
  ".vscode",
  ".idea",
  "node_modules",
]);
const FORBIDDEN_FILES = new Set([
  ".gitattributes",
  ".gitmodules",
  ".gitignore",
  ".gitconfig",
  ".mailmap",
  "codeowners",
  ".gitlab-ci.yml",
  ".travis.yml",
  "appveyor.yml",
  "azure-pipelines.yml",
  "jenkinsfile",
  "makefile",
  "dockerfile",
  "conftest.py",
  "pytest.ini",
  ".pytest.ini",
  "tox.ini",
  "setup.cfg",
  "setup.py",
  "noxfile.py",
  "pyproject.toml",
  "sitecustomize.py",
  "usercustomize.py",
  "manage_tests.py",
  ".coveragerc",
  ".pre-commit-config.yaml",
  ".envrc",
  ".env",
  "requirements.txt",
  "pipfile",
  "pipfile.lock",
  "poetry.lock",
  "uv.lock",
  "pdm.lock",
  "package.json",
  "package-lock.json",
  "yarn.lock",
  "pnpm-lock.yaml",
  "cargo.toml",
  "cargo.lock",
  "go.mod",
  "go.sum",
  "gemfile",
  "gemfile.lock",
]);
const TEST_FILE = /^(test_.*|.*_test|tests?)\.py$/;
const TEST_FOLDERS = new Set(["test", "tests", "testing"]);

/** Why a path may not be edited; null when it may. */
export function screenPath(path: string, policy: PatchPolicy): string | null {
  if (path === "" || path.length > 400) return "path: empty or longer than 400 characters";
  if (/[\0-\x1f\x7f\\]/.test(path) || [...path].some((character) => isInvisible(character.codePointAt(0)!)))
    return "path: control, invisible or backslash characters";
  if (path !== path.normalize("NFC")) return "path: not in Unicode's composed form";
  if (path.startsWith("/") || path.startsWith("~") || /^[a-zA-Z]:/.test(path)) return `path: ${path} is not relative`;
  const parts = path.split("/");
  if (parts.some((part) => part === "" || part === "." || part === ".."))
    return `path: ${path} leaves the repository or is not in its shortest form`;
  // Windows drops trailing dots and blanks, NTFS has `git~1`, HFS+ ignores some characters: every spelling counts.
  const folded = parts.map((part) =>
    part
      .normalize("NFKC")
      .toLowerCase()
      .replace(/[. ]+$/, ""),
  );
  if (folded.some((part) => part === "" || part === ".git" || /^git~\d/.test(part) || part.includes(":")))
    return `forbidden: ${path} belongs to git`;
  if (folded.some((part) => FORBIDDEN_FOLDERS.has(part)))
    return `forbidden: ${path} is in a folder of workflows, hooks or tools`;
  const name = folded.at(-1)!;
  if (
    FORBIDDEN_FILES.has(name) ||
    /^requirements.*\.(txt|in)$/.test(name) ||
    name.endsWith(".lock") ||
    name.endsWith(".pth")
  )
    return `forbidden: ${path} configures builds, tests or dependencies`;
  if (TEST_FILE.test(name) || folded.slice(0, -1).some((part) => TEST_FOLDERS.has(part)))
    return `forbidden: ${path} is a test; tests judge a candidate, they are not part of it`;
  if (policy.blockedPaths.some((glob) => policy.matches(glob, path))) return `blocked: ${path} is in fix.blocked_paths`;
  if (policy.allowedPaths.length > 0 && !policy.allowedPaths.some((glob) => policy.matches(glob, path)))
    return `blocked: ${path} is not in the allowed paths`;
  return null;
}

/**
 * Why a path may not be edited in this tree; null when it may. A link or submodule is never written to or through, and a
 * new file never hides behind the spelling of another.
 * @param modes git's mode of every path of the base commit.
 */
export function screenMode(path: string, modes: ReadonlyMap<string, string>): string | null {
  const parts = path.split("/");
  for (let depth = 1; depth < parts.length; depth++) {
    const above = parts.slice(0, depth).join("/");
    if (modes.has(above)) return `mode: ${path} lies below ${above}, which is no folder of the repository`;
  }
  const mode = modes.get(path);
  if (mode === "120000" || mode === "160000") return `mode: ${path} is a symbolic link or a submodule`;
  if (mode !== undefined) return null;
  const folded = path.toLowerCase();
  for (const other of modes.keys())
    if (other.length === path.length && other.toLowerCase() === folded)
      return `mode: ${path} differs from ${other} in case only`;
  return null;
}

const SECRETS = [
  /\bgh[pousr]_[A-Za-z0-9]{16,}/,
  /\bgithub_pat_[A-Za-z0-9_]{20,}/,
  /\bAKIA[0-9A-Z]{16}\b/,
  /\bsk-[A-Za-z0-9_-]{20,}/,
  /-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----/,
  /\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}/,
  /\bxox[abprs]-[A-Za-z0-9-]{10,}/,
];

/** Why the changed files may not be used; null when they may. Only added lines are looked at for hidden text and secrets. */
export function screenFiles(files: readonly ChangedFile[], policy: PatchPolicy): string | null {
  if (files.length > PATCH_FILES_LIMIT) return `size: ${files.length} files, more than ${PATCH_FILES_LIMIT}`;
  let size = 0;
  for (const file of files) {
    const path = screenPath(file.path, policy);
    if (path !== null) return path;
    const added = addedLines(file);
    size += added.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
    if (size > PATCH_BYTES_LIMIT) return `size: more than ${PATCH_BYTES_LIMIT / 1024} KB of added lines`;
    const text = screenLines(file.path, added);
    if (text !== null) return text;
  }
  return null;
}

/** Why a test file of the app's own may not be part of a patch; null when it may. It is new, and no candidate wrote it. */
export function screenAddedTest(file: ChangedFile, policy: PatchPolicy): string | null {
  if (policy.blockedPaths.some((glob) => policy.matches(glob, file.path)))
    return `blocked: ${file.path} is in fix.blocked_paths`;
  if (policy.allowedPaths.length > 0 && !policy.allowedPaths.some((glob) => policy.matches(glob, file.path)))
    return `blocked: ${file.path} is not in the allowed paths`;
  return screenLines(file.path, addedLines(file));
}

function screenLines(path: string, added: readonly string[]): string | null {
  for (const line of added) {
    if (line.includes("\0")) return `content: ${path} would hold a NUL`;
    const hidden = [...line].find((character) => isInvisible(character.codePointAt(0)!));
    const what =
      hidden === undefined ? mixedName(line, /[\p{Script=Cyrillic}\p{Script=Greek}]/u, true) : invisible(hidden);
    if (what !== null) return `hidden: ${path} would hold ${what}`;
    if (SECRETS.some((pattern) => pattern.test(line))) return `secret: ${path} would hold what looks like a credential`;
  }
  return null;
}

/** What a person's line holds that is not seen as it is, emoji and words of any script aside; null for nothing. */
export function hiddenText(line: string): string | null {
  const hidden = hiddenCharacter(line);
  // Fullwidth letters are how people write beside Han and Kana.
  const isEastAsian = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u.test(line);
  return hidden === null ? mixedName(line, LOOK_ALIKE, !isEastAsian) : invisible(hidden);
}

function invisible(character: string): string {
  return `the invisible character U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;
}

function mixedName(line: string, others: RegExp, orWide: boolean): string | null {
  const mixed = mixedScript(line, others, orWide);
  return mixed === null ? null : `the name ${mixed}, which mixes alphabets that look alike`;
}

function addedLines(file: ChangedFile): string[] {
  const lines = (bytes: Uint8Array | null) =>
    bytes === null ? [] : new TextDecoder("latin1").decode(bytes).split(/\r\n|\r|\n/);
  const before = new Set(lines(file.before));
  return lines(file.after)
    .filter((line) => !before.has(line))
    .map((line) => Buffer.from(line, "latin1").toString("utf8"));
}

/** Any Cyrillic letter, and Greek ones that are drawn like Latin ones: people write `Δt` and `σx`. */
const LOOK_ALIKE = /[\p{Script=Cyrillic}αγεηικνορςτυχωϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹͿ]/u;

/**
 * An identifier with Latin letters and such `others` (`pаypal` with a Cyrillic а), or in fullwidth or mathematical letters:
 * Python reads `ｅｖａｌ` as `eval` (PEP 3131, NFKC).
 */
function mixedScript(line: string, others: RegExp, orWide: boolean): string | null {
  // The letter of an escape stands before a word of another alphabet in many a string.
  for (const [name] of line.replace(/\\[a-zA-Z]/g, "  ").matchAll(/[\p{L}_][\p{L}\p{N}_]*/gu)) {
    if (/\p{Script=Latin}/u.test(name) && others.test(name)) return name;
    if (orWide && /[\uff21-\uff5a\u{1d400}-\u{1d7ff}]/u.test(name)) return name;
  }
  return null;
}
