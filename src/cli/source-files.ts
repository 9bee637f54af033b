/** Source files that a person names on the command line. */
import { readFileSync } from "node:fs";
import { extname, resolve } from "node:path";
import { FunprmError } from "../domain/errors.ts";
import type { Language } from "../domain/function-step.ts";
import { reviewedLanguage } from "../domain/review-scope.ts";

export const LANGUAGES: readonly Language[] = ["python", "javascript", "typescript"];
/** Answers of a model come in files like these. Other extensions are refused rather than read as Python. */
const READ_AS_PYTHON = new Set(["", ".txt"]);

/** Language of a source file: the one asked for, else by extension. */
export function languageOf(path: string, asked: string | undefined): Language {
  if (asked !== undefined) {
    const language = LANGUAGES.find((known) => known === asked);
    if (language === undefined)
      throw new FunprmError("BAD_USAGE", `--language ${asked} is not supported: use one of ${LANGUAGES.join(", ")}`);
    return language;
  }
  const language = reviewedLanguage(path);
  if (language !== null) return language;
  if (!READ_AS_PYTHON.has(extname(path).toLowerCase()))
    throw new FunprmError(
      "BAD_INPUT",
      `${path}: no language for ${extname(path)} files; if it is Python, add --language python`,
    );
  return "python";
}

/** Bytes of a file that the person named. */
export function readSource(cwd: string, path: string): Uint8Array {
  try {
    return readFileSync(resolve(cwd, path));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const reason =
      code === "ENOENT" ? "no such file" : code === "EISDIR" ? "is a folder, name its files" : String(code);
    throw new FunprmError("FILE_UNREADABLE", `${path}: ${reason}`);
  }
}
