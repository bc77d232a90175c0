/** Keeps the screen on while a meeting is shown. A browser that refuses or cannot changes nothing. */

/** Returns the function that lets the screen sleep again. */
export function keepAwake(): () => void {
  let lock: WakeLockSentinel | null = null;
  let asking = false;
  let over = false;

  async function request(): Promise<void> {
    // The browser takes the lock away while the page is hidden.
    if (document.visibilityState !== 'visible' || asking || (lock && !lock.released)) return;
    asking = true;
    try {
      const granted = await navigator.wakeLock?.request('screen');
      if (over) await granted?.release();
      else lock = granted ?? null;
    } catch {
      // Refused, for example to save the battery.
    } finally {
      asking = false;
    }
  }

  const again = () => void request();
  document.addEventListener('visibilitychange', again);
  again();
  return () => {
    over = true;
    document.removeEventListener('visibilitychange', again);
    void lock?.release().catch(() => undefined);
  };
}
