/** When a page has come to rest: its fonts, pictures and transitions, so that a picture of it is always the same. */

const frame = () => new Promise<void>((resolve) => requestAnimationFrame(() => resolve()));

function shown(video: HTMLVideoElement): boolean {
  return video.readyState >= video.HAVE_CURRENT_DATA && video.classList.contains('shown');
}

function moving(): boolean {
  return document
    .getAnimations()
    .some(({ playState, effect }) => playState === 'running' && effect?.getTiming().iterations !== Infinity);
}

export async function settled(): Promise<void> {
  await document.fonts.ready;
  const ready = () =>
    !moving() &&
    [...document.querySelectorAll('video')].every(shown) &&
    [...document.images].every((image) => image.complete);
  // Twice in a row: what appeared may bring more with it.
  for (let rest = 0; rest < 3; rest = ready() ? rest + 1 : 0) await frame();
}
