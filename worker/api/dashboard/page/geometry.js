// Panes as fractions of the canvas: moved, sized, kept on it, and snapped to each other's edges and
// to quarters and thirds of the canvas.

const MIN = 0.02;
const SNAP_PX = 8;
const LINES = [0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1];

const rounded = (value) => Math.round(value * 10000) / 10000;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** *pane* further right and down, as far as the canvas goes. */
export function moved({ x, y, width, height }, right, down) {
  return {
    x: rounded(clamp(x + right, 0, Math.max(1 - width, 0))),
    y: rounded(clamp(y + down, 0, Math.max(1 - height, 0))),
  };
}

/** *pane* wider and higher; *corner* is the one that moves. */
export function resized({ x, y, width, height }, right, down, corner = 'se') {
  const horizontal = stretched(x, width, right, corner.includes('w'));
  const vertical = stretched(y, height, down, corner.includes('n'));
  return { x: horizontal[0], width: horizontal[1], y: vertical[0], height: vertical[1] };
}

function stretched(start, extent, change, movesStart) {
  const end = start + extent;
  if (movesStart) {
    const moving = clamp(start + change, 0, end - MIN);
    return [rounded(moving), rounded(end - moving)];
  }
  return [rounded(start), rounded(clamp(end + change, start + MIN, 1) - start)];
}

/** Follow the pointer of *event* until it is let go, and tell *changed* of each new geometry. */
export function drag(event, { element, canvas, pane, others, changed }) {
  const { corner } = event.target.dataset;
  const from = { x: event.clientX, y: event.clientY };
  const lines = (start, extent) => [
    ...LINES,
    ...others.flatMap((other) => [other[start], other[start] + other[extent]]),
  ];
  const columns = lines('x', 'width');
  const rows = lines('y', 'height');

  function follow({ clientX, clientY, altKey }) {
    let right = (clientX - from.x) / canvas.width;
    let down = (clientY - from.y) / canvas.height;
    if (!altKey) {
      right += pull(edges(pane.x, pane.width, corner, 'w', 'e', right), columns, SNAP_PX / canvas.width);
      down += pull(edges(pane.y, pane.height, corner, 'n', 's', down), rows, SNAP_PX / canvas.height);
    }
    changed(corner ? resized(pane, right, down, corner) : moved(pane, right, down));
  }

  function end() {
    element.removeEventListener('pointermove', follow);
    element.removeEventListener('pointerup', end);
    element.removeEventListener('pointercancel', end);
  }

  event.preventDefault();
  element.setPointerCapture(event.pointerId);
  element.addEventListener('pointermove', follow);
  element.addEventListener('pointerup', end);
  element.addEventListener('pointercancel', end);
}

/** Where the edges that move are after *change*. */
function edges(start, extent, corner, first, last, change) {
  const moving = [];
  if (!corner || corner.includes(first)) moving.push(start + change);
  if (!corner || corner.includes(last)) moving.push(start + extent + change);
  return moving;
}

/** How far to the nearest of *lines* from any of *moving*; 0 when none is within *reach*. */
function pull(moving, lines, reach) {
  let best = 0;
  let nearest = reach;
  for (const edge of moving) {
    for (const line of lines) {
      if (Math.abs(line - edge) < nearest) {
        nearest = Math.abs(line - edge);
        best = line - edge;
      }
    }
  }
  return best;
}
