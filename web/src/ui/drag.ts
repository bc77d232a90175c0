/** Dragging a picture over the stage. */

import type { Rect } from '../state/geometry';

/** A press that moves less (px) is no drag. */
const SLACK = 4;

export interface Drag {
  /** Where it stands when it is seized. */
  from(): Rect;
  move(rect: Rect): void;
  /** `null`: it was given up. */
  drop(rect: Rect | null): void;
}

export function draggable(drag: Drag) {
  return (element: HTMLElement) => {
    let held: { id: number; x: number; y: number; from: Rect; now: Rect | null } | null = null;

    function down(event: PointerEvent) {
      if (event.button !== 0 || !event.isPrimary || (event.target as Element).closest('button')) return;
      // From the first moment: a quick pointer is outside before it is heard of again.
      element.setPointerCapture(event.pointerId);
      held = { id: event.pointerId, x: event.clientX, y: event.clientY, from: drag.from(), now: null };
    }
    function move(event: PointerEvent) {
      if (!held || event.pointerId !== held.id) return;
      const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
      if (!held.now && Math.hypot(dx, dy) < SLACK) return;
      held.now = { ...held.from, x: held.from.x + dx, y: held.from.y + dy };
      drag.move(held.now);
    }
    function end(event: PointerEvent) {
      if (!held || event.pointerId !== held.id) return;
      const { now } = held;
      held = null;
      if (now) drag.drop(event.type === 'pointerup' ? now : null);
    }

    element.addEventListener('pointerdown', down);
    element.addEventListener('pointermove', move);
    element.addEventListener('pointerup', end);
    element.addEventListener('lostpointercapture', end);
    return () => {
      // It cannot be moved any more: there will be no end of this drag.
      if (held?.now) drag.drop(null);
      element.removeEventListener('pointerdown', down);
      element.removeEventListener('pointermove', move);
      element.removeEventListener('pointerup', end);
      element.removeEventListener('lostpointercapture', end);
    };
  };
}
