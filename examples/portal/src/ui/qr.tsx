// A text as a QR code, for an app on another device. Loaded where it is shown.
import { useMemo } from 'react';
import { encode } from 'uqr';

export default function QrCode({ text, label }: { text: string; label: string }) {
  const { size, path } = useMemo(() => {
    // Scanners want four modules of white around it.
    const { data } = encode(text, { ecc: 'M', border: 4 });
    return { size: data.length, path: data.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : []))).join('') };
  }, [text]);
  return (
    <svg className="qr" role="img" aria-label={label} viewBox={`0 0 ${size} ${size}`} shapeRendering="crispEdges">
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}
