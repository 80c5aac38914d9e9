// One line over time. The table beside it says the same in words: a canvas is nothing to a screen reader.
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { locale } from '../words';

export interface Point {
  /** Unit: seconds since 1970. */
  readonly at: number;
  readonly value: number;
}

const HEIGHT = 190;

export default function Chart({ points, unit, low, high, label }: { points: readonly Point[]; unit: string; low: number | undefined; high: number | undefined; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const parent = box.current;
    if (!parent) return undefined;
    // A canvas knows no `light-dark()`: the browser says what it comes to.
    const colour = (name: string) => {
      parent.style.color = `var(${name})`;
      return getComputedStyle(parent).color;
    };
    const band: uPlot.Plugin = {
      hooks: {
        drawClear: (plot) => {
          if (low === undefined && high === undefined) return;
          const { left, top, width, height } = plot.bbox;
          const y = (value: number) => Math.min(Math.max(plot.valToPos(value, 'y', true), top), top + height);
          const from = high === undefined ? top : y(high);
          const to = low === undefined ? top + height : y(low);
          plot.ctx.fillStyle = colour('--band');
          plot.ctx.fillRect(left, from, width, Math.max(to - from, 0));
        },
      },
    };
    const make = () => {
      const axis = { stroke: colour('--faint'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line') }, font: '12px system-ui' };
      return new uPlot(
        {
          width: parent.clientWidth,
          height: HEIGHT,
          cursor: { drag: { x: false, y: false } },
          legend: { show: false },
          scales: { x: { range: () => days(points) }, y: { range: (_, min, max) => span([min, max, low, high]) } },
          axes: [{ ...axis, space: 90, values: (_, splits) => dates(splits) }, { ...axis, size: 52 }],
          series: [{}, { label, stroke: colour('--main'), width: 2, points: { show: true, size: 7, fill: colour('--main') } }],
          plugins: [band],
        },
        [points.map((point) => point.at), points.map((point) => point.value)],
        parent,
      );
    };
    let plot = make();
    const sizes = new ResizeObserver(() => plot.setSize({ width: parent.clientWidth, height: HEIGHT }));
    sizes.observe(parent);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const again = () => {
      plot.destroy();
      plot = make();
    };
    scheme.addEventListener('change', again);
    return () => {
      sizes.disconnect();
      scheme.removeEventListener('change', again);
      plot.destroy();
    };
  }, [points, low, high, label]);
  return <div className="chart" ref={box} role="img" aria-label={`${label}${unit ? `, ${unit}` : ''}`} />;
}

/** From the first day to the last, with some room; one value alone stands in the middle of two days. */
function days(points: readonly Point[]): [number, number] {
  const [first, last] = [points[0]?.at ?? 0, points.at(-1)?.at ?? 0];
  const margin = (last - first) * 0.04 || 86_400;
  return [first - margin, last + margin];
}

function span(values: (number | null | undefined)[]): [number, number] {
  const known = values.filter((value) => value !== undefined && value !== null);
  const [min, max] = [Math.min(...known), Math.max(...known)];
  const margin = (max - min || Math.abs(max) || 1) * 0.12;
  return [min - margin, max + margin];
}

function dates(splits: number[]): string[] {
  const length = ((splits.at(-1) ?? 0) - (splits[0] ?? 0)) / 86_400;
  const options: Intl.DateTimeFormatOptions = length > 400 ? { month: 'short', year: 'numeric' } : length > 5 ? { day: 'numeric', month: 'short' } : { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' };
  const format = new Intl.DateTimeFormat(locale(), options);
  return splits.map((split) => format.format(new Date(split * 1000)));
}
