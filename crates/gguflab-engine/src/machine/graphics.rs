//! Graphics cards as the system sees them, whatever the engine can use.

use super::command::answer;
use super::files::Files;
use gguflab_types::machine::Device;
use std::time::Duration;

const MEBIBYTE: u64 = 1 << 20;

/// NVIDIA cards by `nvidia-smi`; none when it is missing or does not answer within 5 seconds.
pub(crate) fn nvidia() -> Vec<Device> {
    let query = "--query-gpu=index,name,memory.total,memory.free,driver_version";
    let arguments = [query, "--format=csv,noheader,nounits"];
    let text = answer("nvidia-smi", &arguments, Duration::from_secs(5));
    text.map(|text| text.lines().filter_map(nvidia_card).collect()).unwrap_or_default()
}

/// One line `index, name, total MiB, free MiB, driver`. A name may hold commas, so it is read from both ends.
fn nvidia_card(line: &str) -> Option<Device> {
    let (index, rest) = line.split_once(',')?;
    let mut behind = rest.rsplitn(4, ',').map(str::trim);
    let (driver, free, total, name) = (behind.next()?, behind.next()?, behind.next()?, behind.next()?);
    Some(Device {
        name: format!("nvidia{}", index.trim().parse::<u32>().ok()?),
        description: name.to_string(),
        memory_total: total.parse::<u64>().ok()?.checked_mul(MEBIBYTE)?,
        // A card in a mode without own memory accounting says "[N/A]".
        memory_free: free.parse::<u64>().ok().and_then(|free| free.checked_mul(MEBIBYTE)).unwrap_or(0),
        driver: Some(driver.to_string()),
        gpu: true,
    })
}

/// AMD cards by `/sys/class/drm`.
pub(crate) fn amd(files: &Files) -> Vec<Device> {
    let card = |name: &String| name.strip_prefix("card").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let names = files.names("sys/class/drm");
    names.iter().filter(|name| card(name)).filter_map(|name| amd_card(files, name)).collect()
}

fn amd_card(files: &Files, name: &str) -> Option<Device> {
    let folder = format!("sys/class/drm/{name}/device");
    let text = |file: &str| files.text(&format!("{folder}/{file}"));
    let total: u64 = text("mem_info_vram_total")?.parse().ok()?;
    let used: u64 = text("mem_info_vram_used").and_then(|used| used.parse().ok()).unwrap_or(0);
    if text("vendor").as_deref() != Some("0x1002") {
        return None;
    }
    let product = text("product_name");
    let number = text("device").unwrap_or_default();
    Some(Device {
        name: name.replace("card", "amd"),
        description: product.unwrap_or_else(|| format!("AMD GPU {number}")),
        memory_total: total,
        memory_free: total.saturating_sub(used),
        driver: files.text("sys/module/amdgpu/version").or(Some("amdgpu".to_string())),
        gpu: true,
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::lay_out;
    use super::*;

    #[test]
    fn nvidia_lines_are_read_from_both_ends() {
        let card = nvidia_card("0, NVIDIA Example, 24 GB, 24564, 23000, 550.54.14").unwrap();
        assert_eq!((card.name.as_str(), card.description.as_str()), ("nvidia0", "NVIDIA Example, 24 GB"));
        assert_eq!((card.memory_total, card.memory_free), (24564 << 20, 23000 << 20));
        assert_eq!(card.driver.as_deref(), Some("550.54.14"));
        assert_eq!(nvidia_card("1, Example, 100, [N/A], 1.0").map(|card| card.memory_free), Some(0));
        for line in ["", "No devices were found", "0, x, y", "0, name, many, 3, 5", "a, b, 1, 2, 3"] {
            assert_eq!(nvidia_card(line), None, "{line}");
        }
    }

    #[test]
    fn amd_cards_are_told_from_connectors_and_other_vendors() {
        let folder = lay_out(&[
            ("sys/class/drm/card0/device/vendor", "0x1002\n"),
            ("sys/class/drm/card0/device/device", "0x744c\n"),
            ("sys/class/drm/card0/device/mem_info_vram_total", "25753026560\n"),
            ("sys/class/drm/card0/device/mem_info_vram_used", "753026560\n"),
            ("sys/class/drm/card0-DP-1/device/vendor", "0x1002\n"),
            ("sys/class/drm/card1/device/vendor", "0x8086\n"),
            ("sys/class/drm/card1/device/mem_info_vram_total", "1\n"),
        ]);
        let cards = amd(&Files::under(folder.path()));
        assert_eq!(cards.len(), 1);
        assert_eq!((cards[0].name.as_str(), cards[0].memory_free), ("amd0", 25_000_000_000));
        assert_eq!(cards[0].description, "AMD GPU 0x744c");
    }
}
