//! Compressed files.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// Told by the first bytes.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// As the name of a file that is to be written says.
    fn named(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The whole content, or what is wrong with the file.
    pub(super) fn unpack(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut unpacked = Vec::new();
        let (name, result) = match self {
            Self::Gzip => ("gzip", MultiGzDecoder::new(bytes).read_to_end(&mut unpacked)),
            Self::Zstd => {
                let result = zstd::stream::copy_decode(bytes, &mut unpacked);
                ("zstd", result.map(|()| 0))
            }
        };
        result.map(|_| unpacked).map_err(|error| {
            format!("damaged {name} file: {error}; `{name} -dc` prints what is whole of it")
        })
    }
}

/// Makes a file of what `write` writes, compressed if its name ends in `.gz` or `.zst`.
pub(super) fn write_packed(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    match Packing::named(path) {
        None => write(&mut file)?,
        Some(Packing::Gzip) => {
            let mut packed = GzEncoder::new(&mut file, Compression::default());
            write(&mut packed)?;
            packed.finish()?;
        }
        Some(Packing::Zstd) => {
            let mut packed = Encoder::new(&mut file, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            write(&mut packed)?;
            packed.finish()?;
        }
    }
    file.flush()
}
