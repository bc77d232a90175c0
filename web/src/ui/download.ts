const READING_MS = 60_000;

/** Hands a text to the browser as a file to keep. */
export function download(name: string, type: string, text: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  // A browser may take its time to read it.
  setTimeout(() => URL.revokeObjectURL(link.href), READING_MS);
}
